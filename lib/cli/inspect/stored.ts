import { join } from "node:path";
import type { Warn } from "../../errors.ts";
import type { GgufFile, GgufValue } from "../../files/gguf.ts";
import { readGgufParts } from "../../files/gguf-parts.ts";
import { readJsonIfPresent } from "../../files/json.ts";
import { fileSizeIfPresent } from "../../files/paths.ts";
import { readSafetensors, readSafetensorsDirectory } from "../../files/safetensors.ts";
import type { StoredTensor } from "../../files/tensors.ts";
import { isScale } from "../../model/fp8.ts";
import { ggufAt } from "../../model/inspect.ts";

/** What a model's files hold, whether kvasir runs it or not. */
export interface StoredModel {
  format: string;
  files: { path: string; size: number; tensors: StoredTensor[] }[];
  /** config.json, or GGUF's metadata: long arrays by their length alone, and of those of the tokenizer none. */
  settings: Readonly<Record<string, unknown>>;
  /** A file of tensors alone is no model. */
  isModel: boolean;
}

/** Whoever opens the model tells of what is irregular. */
const SILENT: Warn = () => {};

/** Reads headers; what is wrong with them is a typed error that says where. */
export async function readStored(path: string): Promise<StoredModel> {
  if (path.endsWith(".safetensors") && (await fileSizeIfPresent(path)) !== undefined)
    return { format: "safetensors", files: [await readSafetensors(path)], settings: {}, isModel: false };
  const gguf = await ggufAt(path, "config.json", (name) => name.endsWith(".safetensors"));
  if (gguf !== undefined) return storedGguf(await readGgufParts(gguf));
  const files = await readSafetensorsDirectory(path, SILENT);
  const settings = (await readJsonIfPresent(join(path, "config.json"), SILENT)) ?? {};
  return { format: "safetensors", files, settings, isModel: true };
}

function storedGguf(files: readonly [GgufFile, ...GgufFile[]]): StoredModel {
  const [{ version, metadata, skipped }] = files;
  const values = [...metadata].filter(([, value]) => typeof value !== "string" || value.length <= LONG_TEXT);
  const lengths = [...skipped].map(([key, { type, length }]): [string, GgufValue] => [key, `${length} of ${type}`]);
  const settings = Object.fromEntries([...values, ...lengths].filter(([key]) => !key.startsWith("tokenizer.")));
  return { format: `GGUF version ${version}`, files: [...files], settings, isModel: true };
}

/** Characters beyond which a text is no setting: licenses, most often. Chosen. */
const LONG_TEXT = 1000;

/** Tensors of a type. */
export interface TypeCount {
  type: string;
  tensors: number;
  parameters: number;
  bytes: number;
}

/** Tensors by type, the type with the most bytes first. Scales of quantized weights are no parameters. */
export function countTypes({ files }: StoredModel): TypeCount[] {
  const counts = new Map<string, TypeCount>();
  const tensors = files.flatMap((file) => file.tensors);
  const types = new Map(tensors.map(({ name, type }) => [name, type]));
  const isQuantized = tensors.some(({ type }) => type === "F8_E4M3");
  for (const { name, type, shape, bytes } of tensors) {
    const count = counts.get(type) ?? { type, tensors: 0, parameters: 0, bytes: 0 };
    count.tensors += 1;
    if (!isScale(name, isQuantized, (matrix) => types.get(matrix))) count.parameters += shape.reduce((product, size) => product * size, 1);
    count.bytes += bytes;
    counts.set(type, count);
  }
  return [...counts.values()].sort((a, b) => b.bytes - a.bytes);
}
