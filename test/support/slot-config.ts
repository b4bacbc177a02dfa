import type { SlotConfig } from "../../lib/native/addon.ts";

/** A slot that takes the largest of unchanged logits, but for what is given. Its tokens are output unless promptLength says otherwise. */
export function slotConfig(change: Partial<SlotConfig> = {}): SlotConfig {
  return {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    typicalP: 1,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    biasTokens: new Int32Array(),
    biasValues: new Float32Array(),
    seed: 0n,
    minTokens: 0,
    endTokens: new Int32Array(),
    logprobs: -1,
    tokens: new Int32Array(),
    promptLength: 0,
    ...change,
  };
}
