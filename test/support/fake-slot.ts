import { MAX_TOP_LOGPROBS, NOT_NUMBERS, type SlotConfig, type StepResults } from "../../lib/native/addon.ts";
import { areNumbers, type FakeModel, fakeLogits, fakeLogprobs, hash } from "./fake-model.ts";
import { slotConfig } from "./slot-config.ts";

/** A slot's sampling state. It adjusts and chooses as the addon does, with noise of (seed, place) for its random numbers. */
export class FakeSlot {
  last: number;
  /** Raw logits of a row whose token is yet to be chosen. */
  raw: Float32Array | undefined;
  readonly #config: SlotConfig;
  #place: number;
  /** Times that each token of prompt or output is in the output. */
  readonly #counts = new Map<number, number>();

  constructor(config: SlotConfig) {
    this.#config = config;
    this.#place = config.tokens.length - config.promptLength;
    this.last = config.tokens.at(-1) ?? 0;
    for (const [i, token] of config.tokens.entries()) this.#count(token, i < config.promptLength ? 0 : 1);
  }

  /** Penalties, bias and bans. */
  adjusted(logits: Float32Array): Float32Array {
    const { repetitionPenalty, presencePenalty, frequencyPenalty, biasTokens, biasValues, minTokens, endTokens } = this.#config;
    const changed = logits.slice();
    for (const [token, count] of this.#counts) {
      const logit = changed[token]!;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      changed[token] = count === 0 ? repeated : repeated - frequencyPenalty * count - presencePenalty;
    }
    for (const [i, token] of biasTokens.entries()) changed[token]! += Math.fround(biasValues[i]!);
    if (this.#place < minTokens) for (const token of endTokens) changed[token] = Number.NEGATIVE_INFINITY;
    return changed;
  }

  /** The token of changed logits, which is counted; -1 without a finite one, NOT_NUMBERS where not all are numbers. */
  choose(logits: Float32Array): number {
    const { temperature, seed } = this.#config;
    if (!areNumbers(logits)) return NOT_NUMBERS;
    let best = -1;
    let bestValue = Number.NEGATIVE_INFINITY;
    for (const [i, logit] of logits.entries()) {
      const noise = temperature === 0 ? 0 : (hash(Number(seed & 0xffffffffn), this.#place, i) % 4096) / 512;
      if (logit + noise > bestValue) [best, bestValue] = [i, logit + noise];
    }
    if (best >= 0) this.#accept(best);
    return best;
  }

  /** Samples an output. Log-probabilities are there where the slot asks for them, or `always`. */
  sample(raw: Float32Array, logits: Float32Array, results: StepResults, output: number, always: boolean): void {
    const { logprobs: count } = this.#config;
    const token = this.choose(logits);
    results.sampled[output] = token;
    if (count < 0 && !always) return;
    const logprobs = fakeLogprobs(raw);
    results.logprobs[output] = logprobs[token] ?? Number.NaN;
    const best = [...logprobs.keys()].sort((a, b) => logprobs[b]! - logprobs[a]! || a - b).slice(0, Math.max(0, count));
    for (const [i, id] of best.entries()) {
      results.topTokens[output * MAX_TOP_LOGPROBS + i] = id;
      results.topLogprobs[output * MAX_TOP_LOGPROBS + i] = logprobs[id]!;
    }
  }

  #accept(token: number): void {
    this.last = token;
    this.#place += 1;
    this.#count(token, 1);
  }

  #count(token: number, outputs: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + outputs);
  }
}

/** What a request alone should sample. */
export function expectedTokens(model: FakeModel, prompt: readonly number[], count: number, config: Partial<SlotConfig> = {}): number[] {
  const slot = new FakeSlot(slotConfig({ tokens: Int32Array.from(prompt), promptLength: prompt.length, ...config }));
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) tokens.push(slot.choose(slot.adjusted(fakeLogits(model, tokens))));
  return tokens.slice(prompt.length);
}
