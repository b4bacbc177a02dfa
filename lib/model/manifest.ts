import { KvasirError, show } from "../errors.ts";
import type { StoredTensor } from "../files/tensors.ts";
import { type LayerSpec, type ModelSpec, TENSOR_TYPES, type TensorName, type TensorRow, type TensorType } from "./spec.ts";

/** Where a model's tensors are: all that its files hold. */
export interface TensorFile {
  path: string;
  size: number;
  tensors: StoredTensor[];
}

/** How an architecture's files name the tensors of its spec, and which of them it has. */
export interface TensorLayout {
  /** Names in the file of embed, final_norm and lm_head. */
  outer: Readonly<Record<TensorName, string>>;
  /** What stands before the names of a layer's tensors. */
  layerPrefix: (layer: number) => string;
  /** Names in the file, after the prefix, of the tensors within a layer. */
  inner: Readonly<Record<TensorName, string>>;
  /** Tensors that the model has when the file has them; all others are required. */
  optional: ReadonlySet<TensorName>;
  /** Tensors of the file that the text model does without: a vision tower, a copy of the embedding. Any other unknown one is refused. */
  ignored?: RegExp;
  /** The file holds w where the model's norms multiply by 1 + w. */
  normsPlusOne: boolean;
}

/** The rows of every tensor of the spec, each with the shape that the spec asks for. */
export function buildManifest(spec: ModelSpec, layout: TensorLayout, files: readonly TensorFile[]): TensorRow[] {
  const stored = indexTensors(files);
  const wanted = wantedTensors(spec, layout);
  refuseUnknown(spec, layout, wanted, stored, files);
  const rows: TensorRow[] = [];
  for (const want of wanted) {
    const found = stored.get(want.source);
    if (found !== undefined) rows.push(toRow(want, found, files[found.file]!.path, layout));
    else if (!want.optional)
      throw new KvasirError("FILE_INVALID", `${files[0]?.path}: tensor ${want.source} of shape [${want.shape}] is missing`);
  }
  return rows;
}

interface WantedTensor {
  name: TensorName;
  /** Its name in the file. */
  source: string;
  shape: number[];
  optional: boolean;
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

function wantedTensors(spec: ModelSpec, layout: TensorLayout): WantedTensor[] {
  const { vocabSize, hiddenSize } = spec;
  const outer = { embed: [vocabSize, hiddenSize], final_norm: [hiddenSize], lm_head: [vocabSize, hiddenSize] };
  const wanted = select(outer, layout.outer, layout.optional, { name: "", source: "" });
  for (const [index, layer] of spec.layers.entries())
    wanted.push(
      ...select(layerShapes(layer, hiddenSize), layout.inner, layout.optional, {
        name: `layers.${index}.`,
        source: layout.layerPrefix(index),
      }),
    );
  return wanted;
}

/** The tensors of `shapes` that have a name in the file. */
function select(
  shapes: Readonly<Record<TensorName, number[]>>,
  names: Readonly<Record<TensorName, string>>,
  optional: ReadonlySet<TensorName>,
  prefix: { name: string; source: string },
): WantedTensor[] {
  return Object.entries(names).map(([name, source]) => ({
    name: prefix.name + name,
    source: prefix.source + source,
    shape: shapes[name]!,
    optional: optional.has(name),
  }));
}

/** Shapes of all tensors that a layer may have, see {@link TensorName}. */
function layerShapes({ attention, feedForward }: LayerSpec, hidden: number): Record<TensorName, number[]> {
  const { queryHeads, kvHeads, headSize } = attention;
  const [q, kv, size] = [queryHeads * headSize, kvHeads * headSize, feedForward.size];
  return {
    attn_norm: [hidden],
    q: [q, hidden],
    k: [kv, hidden],
    v: [kv, hidden],
    o: [hidden, q],
    q_bias: [q],
    k_bias: [kv],
    v_bias: [kv],
    o_bias: [hidden],
    q_norm: [headSize],
    k_norm: [headSize],
    post_attn_norm: [hidden],
    mlp_norm: [hidden],
    gate: [size, hidden],
    up: [size, hidden],
    down: [hidden, size],
    gate_bias: [size],
    up_bias: [size],
    down_bias: [hidden],
    post_mlp_norm: [hidden],
  };
}

/** A tensor that nothing reads would change the result if it were: the model is another than the spec says. */
function refuseUnknown(
  spec: ModelSpec,
  layout: TensorLayout,
  wanted: readonly WantedTensor[],
  stored: ReadonlyMap<string, FoundTensor>,
  files: readonly TensorFile[],
): void {
  const known = new Set(wanted.map((want) => want.source));
  for (const [name, { file }] of stored) {
    if (known.has(name) || layout.ignored?.test(name)) continue;
    throw new KvasirError(
      "UNSUPPORTED_MODEL",
      `${files[file]!.path}: tensor ${show(name)} has no place in ${spec.architecture} with ${spec.layers.length} layers`,
    );
  }
}

function toRow(want: WantedTensor, found: FoundTensor, path: string, layout: TensorLayout): TensorRow {
  if (!(found.type in TENSOR_TYPES)) {
    const readable = Object.keys(TENSOR_TYPES).join(", ");
    throw new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(want.source)} is ${found.type}; kvasir reads ${readable}`);
  }
  // Vectors are added or multiplied as they are: no format quantizes them.
  if (want.shape.length === 1 && TENSOR_TYPES[found.type as TensorType].block > 1)
    throw new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(want.source)} is ${found.type}: vectors are F32, F16 or BF16`);
  if (found.shape.join() !== want.shape.join())
    throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(want.source)} is [${found.shape}], [${want.shape}] is right`);
  const plusOne = layout.normsPlusOne && want.name.endsWith("norm");
  return { name: want.name, file: found.file, offset: found.offset, type: found.type as TensorType, shape: want.shape, plusOne };
}
