/**
 * What the rest of the code asks a kind of mixer or feed-forward. Each kind is a file in mixers/ or feed-forwards/ with one object of
 * these types, in its folder's table by `kind`. These are methods so that a row of the table may take its own spec alone: whoever calls one
 * has found it by that spec's `kind`.
 */

/** A tensor that a part of a model may have, by its names in the model and in both kinds of files. */
export interface TensorForm<Extra extends string = string> {
  name: string;
  /** [n] of a vector, [rows, columns] of a matrix, [experts, rows, columns] of one matrix for each expert. */
  shape: number[];
  huggingFace: string;
  gguf: string;
  /** What the tensor belongs to that not every model has: a family says which extras it has. */
  extra?: Extra;
}

/** What one token takes in one layer's cache, or a piece of it that lies by itself. */
export interface CachePart {
  elements: number;
  /** `kv`: the engine's `kvType`. */
  type: "kv" | "f32";
}

/** A kind of feed-forward. */
export interface FeedForwardKind<Spec, Extra extends string> {
  /** All tensors that it may have in a model of this hidden size. */
  tensors(spec: Spec, hiddenSize: number): TensorForm<Extra>[];
}

/** A kind of mixer: what carries information from one token to another. */
export interface MixerKind<Spec, Extra extends string> {
  /** All tensors that it may have in a model of this hidden size. */
  tensors(spec: Spec, hiddenSize: number): TensorForm<Extra>[];
  /** What a token takes in the cache of one such layer. */
  cacheParts(spec: Omit<Spec, "cacheGroup">): CachePart[];
}
