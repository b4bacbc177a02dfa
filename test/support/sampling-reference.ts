/**
 * The sampling stages on the host, in float64: the reference that every back end's `sample` op is compared with, and the plainest statement
 * of what the parameters mean. It sorts the whole vocabulary at each stage; the ops avoid that.
 */

/** The parameters that choose a token. The defaults (temperature aside) turn a stage off. */
export interface ChooseParams {
  temperature: number;
  topK: number;
  typicalP: number;
  topP: number;
  minP: number;
}

/** What a sequence has seen and how its logits are changed for it. */
export interface AdjustParams {
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  /** Tokens of the prompt and the output, with how often each stands in the output. */
  seen: Iterable<[token: number, outputCount: number]>;
  biases: Iterable<[token: number, bias: number]>;
  banned: Iterable<number>;
}

interface Candidate {
  token: number;
  /** (logit - largest logit) / temperature */
  score: number;
  weight: number;
}

/** The logits after penalties, biases and bans. */
export function adjustLogits(logits: ArrayLike<number>, params: AdjustParams): Float32Array {
  const adjusted = Float32Array.from(logits);
  for (const [token, outputCount] of params.seen) {
    const logit = adjusted[token]!;
    const repeated = logit > 0 ? logit / params.repetitionPenalty : logit * params.repetitionPenalty;
    adjusted[token] = repeated - (outputCount > 0 ? params.frequencyPenalty * outputCount + params.presencePenalty : 0);
  }
  for (const [token, bias] of params.biases) adjusted[token]! += bias;
  for (const token of params.banned) adjusted[token] = Number.NEGATIVE_INFINITY;
  return adjusted;
}

/** The tokens with their weights that the stages leave, in ascending order; at temperature 0 the largest. Empty if no logit is finite. */
export function keepTokens(logits: ArrayLike<number>, params: ChooseParams): { token: number; weight: number }[] {
  const values = Array.from(logits, (l) => (Number.isNaN(l) ? Number.NEGATIVE_INFINITY : l));
  if (!values.some(Number.isFinite)) return [];
  const largest = values.reduce((a, b) => Math.max(a, b));
  if (params.temperature === 0) return [{ token: values.indexOf(largest), weight: 1 }];
  let kept = values.map((value, token) => {
    const score = (value - largest) / params.temperature;
    return { token, score, weight: Math.exp(score) };
  });
  const descending = (c: Candidate) => -c.score;
  if (params.topK > 0) kept = smallest(kept, descending, (_, count) => count >= params.topK);
  if (params.typicalP < 1) kept = smallest(kept, surprise(kept), reaches(kept, params.typicalP));
  if (params.topP < 1) kept = smallest(kept, descending, reaches(kept, params.topP));
  if (params.minP > 0) {
    const most = kept.reduce((weight, c) => Math.max(weight, c.weight), 0);
    kept = kept.filter((c) => c.weight >= Math.min(params.minP, 1) * most);
  }
  return kept;
}

/** The token that `keepTokens` and place `place` of stream `seed` choose; -1 if there is none. */
export function chooseToken(logits: ArrayLike<number>, params: ChooseParams, seed: bigint, place: number): number {
  const kept = keepTokens(logits, params);
  const target = uniform(seed, place) * total(kept);
  let sum = 0;
  for (const { token, weight } of kept) {
    sum += weight;
    if (sum > target) return token;
  }
  return kept.at(-1)?.token ?? -1;
}

/** Logarithms of the probabilities under the raw logits. */
export function logProbabilities(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const largest = values.reduce((a, b) => Math.max(a, b));
  const logSum = largest + Math.log(values.reduce((sum, l) => sum + Math.exp(l - largest), 0));
  return values.map((l) => l - logSum);
}

/** Place `place` of stream `seed`, in [0, 1): SplitMix64's finalizer over the mixed seed and the place, its upper 53 bits. */
export function uniform(seed: bigint, place: number): number {
  const step = 0x9e3779b97f4a7c15n;
  return Number(mix(mix(seed + step) + step * BigInt(place + 1)) >> 11n) / 2 ** 53;
}

function mix(bits: bigint): bigint {
  let z = BigInt.asUintN(64, bits);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** Those of the smallest keys (ties: the lower token) up to the first after which `enough` holds, in ascending order of tokens. */
function smallest(candidates: Candidate[], key: (c: Candidate) => number, enough: (c: Candidate, count: number) => boolean): Candidate[] {
  const sorted = candidates.toSorted((a, b) => key(a) - key(b) || a.token - b.token);
  const last = sorted.findIndex((c, i) => enough(c, i + 1));
  return (last < 0 ? sorted : sorted.slice(0, last + 1)).sort((a, b) => a.token - b.token);
}

function total(candidates: { weight: number }[]): number {
  return candidates.reduce((sum, c) => sum + c.weight, 0);
}

function reaches(candidates: Candidate[], share: number): (c: Candidate) => boolean {
  const target = share * total(candidates);
  let sum = 0;
  return (c) => {
    sum += c.weight;
    return sum >= target;
  };
}

/** Distance of a token's information content from the distribution's entropy. */
function surprise(candidates: Candidate[]): (c: Candidate) => number {
  const sum = total(candidates);
  const entropy = candidates.reduce((h, c) => (c.weight > 0 ? h - (c.weight / sum) * c.score : h), Math.log(sum));
  return (c) => Math.abs(Math.log(sum) - c.score - entropy);
}
