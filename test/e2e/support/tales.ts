import { readFileSync } from "node:fs";
import type { Engine } from "../../../lib/engine.ts";
import { sharedPath } from "../../support/shared.ts";
import { readReferences } from "./references.ts";

/** The trained models' reference prompts: greedy tokens in float32, and the margin between the two largest logits at each. */
export interface TalesPrompt {
  prompt: string;
  ids: number[];
  greedy: number[];
  margins: number[];
  continuation: string;
}

/** reference.json of `tales` or `tales-draft`. */
export interface TalesReference {
  prompts: TalesPrompt[];
  perplexity: { windows: number; window: number; nats_per_token: number };
}

export function talesReference(model: string): TalesReference {
  return JSON.parse(readFileSync(sharedPath("models", model, "reference.json"), "utf8")) as TalesReference;
}

/** Mean of -log p over the first windows of the reference text: window j predicts tokens 512 j + 1 to 512 j + 512 from those before. */
export async function natsPerToken(engine: Engine, model: string, windows: number): Promise<number> {
  const tokens = readReferences("models", model, "reference.safetensors").ppl_tokens!.data as Int32Array;
  let sum = 0;
  for (let j = 0; j < windows; j++) {
    const { logprobs } = await engine.score(tokens.slice(512 * j, 512 * j + 513));
    for (const logprob of logprobs.subarray(1)) sum -= logprob;
  }
  return sum / (512 * windows);
}
