import { counted, KvasirError, show } from "../errors.ts";
import { GGML_TYPES } from "../files/gguf-types.ts";
import type { StoredTensor } from "../files/tensors.ts";
import type { DeviceConfig } from "../native/addon.ts";
import { type Fp8Scheme, isScale, scalesOf } from "./fp8.ts";
import type { Cut } from "./kinds.ts";
import { type ModelSpec, TENSOR_TYPES, type TensorRow, type TensorType } from "./spec.ts";

/** Where a model's tensors are: all that its files hold. */
export interface TensorFile {
  path: string;
  size: number;
  tensors: StoredTensor[];
}

/** One tensor of a spec, as a file of its architecture should have it. */
export interface WantedTensor {
  /** Its name in the model, see {@link TensorRow.name}. */
  name: string;
  /** Its name in the file, or of which tensor there it is a part. */
  source: string | Cut;
  shape: number[];
  /** The model has it when the file has it; without this, it is required. */
  optional: boolean;
}

/** Which tensors a model has, and how an architecture's files name them. */
export interface TensorLayout {
  tensors: WantedTensor[];
  /** Tensors of the file that the text model does without: a vision tower, a copy of the embedding. Any other unknown one is refused. */
  ignored: RegExp | undefined;
  /** The file holds w where the model's norms multiply by 1 + w. */
  normsPlusOne: boolean;
}

/** The rows of every tensor that the model has, each with the shape that the spec asks for. `fp8`: how weights in F8_E4M3 are scaled. */
export function buildManifest(spec: ModelSpec, layout: TensorLayout, files: readonly TensorFile[], fp8?: Fp8Scheme): TensorRow[] {
  const stored = indexTensors(files);
  refuseUnknown(spec, layout, stored, files, fp8 !== undefined);
  const rows: TensorRow[] = [];
  for (const want of layout.tensors) {
    const cut = cutOf(want);
    const found = stored.get(cut.source);
    if (found !== undefined) {
      const path = files[found.file]!.path;
      const row = toRow(want, cut, found, path, layout);
      const shape = found.shape as [number, number];
      rows.push(row.type === "F8_E4M3" ? { ...row, scales: scalesOf(path, fp8, cut, shape, (name) => stored.get(name)) } : row);
    } else if (!want.optional)
      throw new KvasirError("FILE_INVALID", `${files[0]?.path}: tensor ${cut.source} of shape [${cut.shape}] is missing`);
  }
  return rows;
}

/** The part of a file's tensor that is wanted; the whole of it most often. */
function cutOf({ source, shape }: WantedTensor): Cut {
  return typeof source === "string" ? { source, shape, first: 0 } : source;
}

type FoundTensor = StoredTensor & { file: number };

function indexTensors(files: readonly TensorFile[]): Map<string, FoundTensor> {
  const stored = new Map<string, FoundTensor>();
  for (const [file, { path, tensors }] of files.entries()) {
    for (const tensor of tensors) {
      if (stored.has(tensor.name)) throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(tensor.name)} is in another file, too`);
      stored.set(tensor.name, { ...tensor, file });
    }
  }
  return stored;
}

/** A tensor that nothing reads would change the result if it were: the model is another than the spec says. */
function refuseUnknown(
  spec: ModelSpec,
  layout: TensorLayout,
  stored: ReadonlyMap<string, FoundTensor>,
  files: readonly TensorFile[],
  isQuantized: boolean,
): void {
  const known = new Set(layout.tensors.map((want) => cutOf(want).source));
  for (const [name, { file }] of stored) {
    if (known.has(name) || layout.ignored?.test(name)) continue;
    if (isScale(name, isQuantized, (matrix) => stored.get(matrix)?.type)) continue;
    throw new KvasirError(
      "UNSUPPORTED_MODEL",
      `${files[file]!.path}: tensor ${show(name)} has no place in ${spec.architecture} with ${counted(spec.layers.length, "layer")}`,
    );
  }
}

/** Of those that safetensors have. */
const SAFETENSORS_TYPES: readonly TensorType[] = ["F32", "F16", "BF16", "F8_E4M3"];

function toRow(want: WantedTensor, cut: Cut, found: FoundTensor, path: string, layout: TensorLayout): TensorRow {
  if (!(found.type in TENSOR_TYPES)) {
    const types = path.endsWith(".safetensors") ? SAFETENSORS_TYPES : [...GGML_TYPES.values()].map(({ name }) => name);
    const readable = types.filter((type) => type in TENSOR_TYPES).join(", ");
    throw new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(cut.source)} is ${found.type}; expected one of ${readable}`);
  }
  // Vectors are added or multiplied as they are: no format quantizes them.
  if (want.shape.length === 1 && TENSOR_TYPES[found.type as TensorType].block > 1)
    throw new KvasirError(
      "UNSUPPORTED_FORMAT",
      `${path}: tensor ${show(cut.source)} is ${found.type}; expected F32, F16 or BF16 of a vector`,
    );
  if (found.shape.join() !== cut.shape.join())
    throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(cut.source)} is [${found.shape}]; expected [${cut.shape}]`);
  const type = found.type as TensorType;
  const plusOne = layout.normsPlusOne && want.name.endsWith("norm");
  const offset = found.offset + (cut.first === 0 ? 0 : bytesBefore(cut, type, path));
  return { name: want.name, file: found.file, offset, type, shape: want.shape, plusOne, layout: cut.layout };
}

/** Bytes from the start of a file's tensor to where a part of it begins. */
function bytesBefore({ source, shape, first, layout }: Cut, type: TensorType, path: string): number {
  const elements = layout?.kind === "transposed" ? 1 : shape.slice(1).reduce((product, size) => product * size, 1);
  if (type === "F8_E4M3") return first * elements;
  const { block, bytes } = TENSOR_TYPES[type];
  if (elements % block !== 0)
    throw new KvasirError(
      "FILE_INVALID",
      `${path}: tensor ${show(source)} has rows of ${elements}; expected a multiple of ${type}'s ${block}`,
    );
  return first * (elements / block) * bytes;
}

/**
 * Bytes of a block as the native side repacks it, of types whose blocks don't keep their size: the CPU's 6-bit scales have a byte each, those of a GPU
 * are bfloat16.
 */
const PACKED: Record<DeviceConfig["kind"], Partial<Record<TensorType, number>>> = { cpu: { Q4_K: 148 }, cuda: { Q4_K: 160, Q6_K: 224 } };

/** Bytes of a model's weights in memory, repacked; at most, where compute is f32. What rows are padded to is below a hundredth. */
export function bytesOfWeights({ tensors }: { tensors: readonly TensorRow[] }, device: DeviceConfig["kind"] = "cpu"): number {
  return tensors.reduce((sum, { type, shape }) => {
    const { block, bytes } = TENSOR_TYPES[type];
    return sum + (shape.reduce((product, size) => product * size, 1) / block) * (PACKED[device][type] ?? bytes);
  }, 0);
}
