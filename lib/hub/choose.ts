import { counted, type ErrorCode, KvasirError } from "../errors.ts";
import { ggufModels, partCount } from "../files/gguf-parts.ts";
import { type HubName, showName } from "./names.ts";

/** A file to choose from: one of the hub's, or one in the cache. */
export interface SizedFile {
  path: string;
  size: number;
}

/** A GGUF with all its parts, the first part first. */
interface Gguf<File> {
  /** Its path, of a split one without the part's number. */
  path: string;
  quantization: string | undefined;
  parts: File[];
  size: number;
}

/**
 * What is taken where nobody says: first what is known to lose little at four to six bits, then larger, then smaller. The first that fits the
 * memory wins. Types that kvasir doesn't read are not in it.
 */
const ORDER: readonly string[] = [
  ...["Q4_K_M", "Q4_K_S", "UD-Q4_K_XL", "Q4_K_L", "Q4_K", "Q4_0", "IQ4_NL", "IQ4_XS", "Q4_1", "MXFP4", "MXFP4_MOE"],
  ...["Q5_K_M", "Q5_K_S", "UD-Q5_K_XL", "Q5_K", "Q5_0", "Q5_1", "Q6_K", "Q8_0", "BF16", "F16", "F32"],
  ...["Q3_K_L", "Q3_K_M", "UD-Q3_K_XL", "Q3_K", "Q3_K_S", "Q2_K_L", "UD-Q2_K_XL", "Q2_K", "Q2_K_S"],
];

/** How quantizers write it at the end of a name; the last word that looks so counts. */
const QUANTIZATION = /(?:^|[-._/])((?:UD-)?(?:I?Q|TQ)\d\w*|MXFP4\w*|BF16|FP?16|FP?32)(?=[-./]|$)/gi;

/**
 * The .gguf that a name asks for, all parts of it; `undefined` if the model is to be read from .safetensors, which a name without a choice
 * gets where there are any. `memory` is what weights may take, in bytes.
 */
export function chooseGguf<File extends SizedFile>(files: readonly File[], name: HubName, memory: number): File[] | undefined {
  const { choice } = name;
  if (choice === undefined && files.some(({ path }) => isWeights(path))) return undefined;
  const ggufs = ggufsOf(files);
  if (ggufs.length === 0 && choice === undefined) throw unsupported(files, name);
  return partsOf(choice === undefined ? bestOf(ggufs, name, memory) : namedOf(ggufs, name, choice), name);
}

/** Whether a file has weights as transformers keeps them. */
export function isWeights(path: string): boolean {
  return path === "model.safetensors" || path === "model.safetensors.index.json";
}

/** Files of a model's text side and its settings, where it is no GGUF. */
export function isText(path: string): boolean {
  return /^(?:(?:generation_|tokenizer_)?config\.json|tokenizer\.json|chat_template\.(?:jinja|json)|additional_chat_templates\/[^/]+\.jinja)$/.test(
    path,
  );
}

/** Models among the files. */
function ggufsOf<File extends SizedFile>(files: readonly File[]): Gguf<File>[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return ggufModels([...byPath.keys()]).map(({ name, parts }) => {
    const found = parts.map((path) => byPath.get(path)!);
    return { path: name, quantization: quantizationOf(name), parts: found, size: found.reduce((sum, { size }) => sum + size, 0) };
  });
}

function quantizationOf(path: string): string | undefined {
  const found = [...path.matchAll(QUANTIZATION)].at(-1)?.[1]?.toUpperCase();
  return found?.replace(/^FP(?=\d)/, "F");
}

/** By quantization, in letters of either case, or by the path of one of its files. */
function namedOf<File extends SizedFile>(ggufs: readonly Gguf<File>[], name: HubName, choice: string): Gguf<File> {
  const byPath = ggufs.find(({ parts }) => parts.some(({ path }) => path === choice));
  const alike = ggufs.filter(({ quantization }) => quantization === choice.toUpperCase());
  const found = byPath ?? alike[0];
  if (found === undefined) throw mistaken("MODEL_NOT_FOUND", ggufs, name, "has no such .gguf");
  if (found !== byPath && alike.length > 1) throw mistaken("INVALID_ARGUMENT", alike, name, `is one of ${alike.length}`);
  return found;
}

function bestOf<File extends SizedFile>(ggufs: readonly Gguf<File>[], name: HubName, memory: number): Gguf<File> {
  if (ggufs.length === 1) return ggufs[0]!;
  const known = ORDER.flatMap((wanted) => {
    const alike = ggufs.filter(({ quantization }) => quantization === wanted);
    return alike.length === 1 ? alike : [];
  });
  if (known.length === 0) throw mistaken("INVALID_ARGUMENT", ggufs, name, "doesn't say which .gguf");
  const best = known.find(({ size }) => size <= memory);
  if (best === undefined) throw mistaken("OUT_OF_MEMORY", ggufs, name, `has none that fits the ${gigabytes(memory)} that weights may take`);
  return best;
}

function partsOf<File extends SizedFile>({ path, parts }: Gguf<File>, name: HubName): File[] {
  const count = partCount(parts[0]!.path);
  if (parts.length === count) return parts;
  throw new KvasirError("MODEL_NOT_FOUND", `${showName(name)} has ${parts.length} of the ${counted(count, "part")} of ${path}`);
}

function mistaken(code: ErrorCode, ggufs: readonly Gguf<SizedFile>[], name: HubName, what: string): KvasirError {
  const quantizations = new Set(ggufs.map(({ quantization }) => quantization));
  const isClear = quantizations.size === ggufs.length && !quantizations.has(undefined);
  const list = ggufs.map(({ quantization, parts, size }) => `${isClear ? quantization : parts[0]!.path} (${gigabytes(size)})`);
  const choices = list.length === 0 ? "a repository with .gguf files" : `${name.id}:CHOICE, of ${list.slice(0, 40).join(", ")}`;
  return new KvasirError(code, `${showName(name)} ${what}; expected ${choices}`);
}

function unsupported(files: readonly SizedFile[], name: HubName): KvasirError {
  const found = files.map(({ path }) => path).filter((path) => /\.(?:bin|pth|pt|onnx|safetensors|npz|msgpack|h5)$/.test(path));
  const beside = found.length === 0 ? "" : `; it has ${found.slice(0, 5).join(", ")}`;
  return new KvasirError("UNSUPPORTED_FORMAT", `${showName(name)} has neither model.safetensors, nor its index, nor a .gguf${beside}`);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 0)} GB`;
}
