/** Logits of a made-up model: a hash of all tokens so far, or certainty of what `script` says follows them. */
export interface FakeModel {
  vocabSize: number;
  script?: (tokens: readonly number[]) => number;
  /** After this token a logit is NaN. */
  broken?: number;
}

/** 32 bits that depend on every value (FNV-1a with a shift). */
export function hash(...values: number[]): number {
  let h = 0x811c9dc5;
  for (const value of values) {
    h = Math.imul(h ^ value, 0x01000193);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

/** Logits [V] of what follows the tokens. */
export function fakeLogits({ vocabSize, script, broken }: FakeModel, tokens: readonly number[]): Float32Array {
  const logits = new Float32Array(vocabSize);
  const state = hash(...tokens);
  for (let i = 0; i < vocabSize; i++) logits[i] = (hash(state, i) % 4096) / 512;
  if (script !== undefined) logits[script(tokens)] = 100;
  if (tokens.at(-1) === broken) logits[1] = Number.NaN;
  return logits;
}

/** No NaN, no infinity above. */
export const areNumbers = (logits: Float32Array): boolean => logits.every((logit) => logit < Number.POSITIVE_INFINITY);

/** Natural logarithms of their softmax. */
export function fakeLogprobs(logits: Float32Array): Float32Array {
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return logits.map((logit) => logit - Math.log(sum));
}
