/**
 * What the rest of the code asks a kind of mixer or feed-forward. Each kind is a file in mixers/ or feed-forwards/ with its spec and one
 * object of these types, which has a row in the folder's index.ts.
 */

/**
 * Where the rows of a matrix are (of a vector: its elements) that don't lie one after the other. Runs: `run` of them side by side, the next
 * ones `stride` rows after the first of these (gpt-neox: a head of q, between those of k and v). Transposed: element [row, column] is
 * column × stride + row elements from the first (gpt2).
 */
export type RowLayout = { kind: "runs"; run: number; stride: number } | { kind: "transposed"; stride: number };

/** A part of a tensor in a file. */
export interface Cut {
  source: string;
  /** The whole tensor's. */
  shape: number[];
  /** The row of it at which the part begins; of a transposed matrix, the column. */
  first: number;
  /** How the part's rows lie from there on. */
  layout?: RowLayout | undefined;
}

/** A tensor that a part of a model may have, by its names in the model and in both kinds of files. */
export interface TensorForm<Extra extends string = string> {
  name: string;
  /** [n] of a vector, [rows, columns] of a matrix, [experts, rows, columns] of one matrix for each expert. */
  shape: number[];
  huggingFace: string | Cut;
  gguf: string | Cut;
  /** What the tensor belongs to that not every model has: a family says which extras it has. */
  extra?: Extra;
}

/** One of the vectors that a token has in a layer's cache, such as its keys. */
export interface CachePart {
  elements: number;
  /** `kv`: the engine's `kvType`. */
  type: "kv" | "f32";
}

/**
 * A kind of mixer or feed-forward. Its functions are methods, whose parameters TypeScript lets be narrower than the table's: they take the
 * spec of their own kind, and whoever calls them has found them by the spec's `kind`.
 */
export interface Kind<Spec, Extra extends string> {
  /** All tensors that it may have in a model of this hidden size. */
  tensors(spec: Spec, hiddenSize: number): TensorForm<Extra>[];
}

/** A kind of mixer: it has a cache, too. */
export interface MixerKind<Spec, Extra extends string> extends Kind<Spec, Extra> {
  /** What a token takes in the cache of one such layer. */
  cacheParts(spec: Omit<Spec, "cacheGroup">): CachePart[];
}
