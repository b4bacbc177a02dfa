import { join } from "node:path";
import { type GgufInput, type MetadataValue, writeGguf } from "./files.ts";

/** What a part says of itself; a test may change it. */
export type PartMetadata = (part: number) => Record<string, MetadataValue>;

/** The path of a part, counted from 0. */
export function partPath(directory: string, name: string, part: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, "0");
  return join(directory, `${name}-${digits(part + 1)}-of-${digits(count)}.gguf`);
}

/** Writes a GGUF as `count` files the way llama-gguf-split does: tensors in order, the metadata in the first. Returns their paths. */
export async function writeSplitGguf(
  directory: string,
  name: string,
  { metadata, tensors = [] }: GgufInput,
  count: number,
  change: PartMetadata = () => ({}),
): Promise<string[]> {
  const each = Math.ceil(tensors.length / count);
  const paths = Array.from({ length: count }, (_, part) => partPath(directory, name, part, count));
  for (const [part, path] of paths.entries()) {
    const own: Record<string, MetadataValue> = {
      ...(part === 0 ? metadata : {}),
      "split.no": { type: "u16", value: part },
      "split.count": { type: "u16", value: count },
      "split.tensors.count": { type: "i32", value: tensors.length },
      ...change(part),
    };
    await writeGguf(path, { metadata: own, tensors: tensors.slice(part * each, (part + 1) * each) });
  }
  return paths;
}
