import { expect } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import { Random } from "../../support/reference.ts";

/** Where a request was when it was ended: `preempted` after it had given tokens, `choosing` in its own processor. */
type State = "queued" | "prefill" | "decode" | "preempted" | "choosing";

/** What became of the requests. */
export interface Tally {
  completed: number;
  aborted: Record<State, number>;
}

/** Requests under way at once: more than the pages hold, so that some wait. */
const CLIENTS = 48;

/** Prompts begin with a part of one of these, mostly: so they are found in the prefix cache. */
const SHARED_PROMPTS = 6;

/** What one request is, and how it ends. */
interface Plan {
  prompt: number[];
  params: GenerateParams;
  end: "not" | "after turns" | "after tokens" | "by leaving" | "when preempted" | "by its processor";
  /** Turns of the event loop, or tokens. */
  after: number;
}

/** Runs seeded requests, some 40 % of which are ended: through their signal in any state, or by leaving their loop. */
export async function endure(engine: Engine, count: number, seed: number, vocabSize: number): Promise<Tally> {
  const random = new Random(seed);
  const shared = Array.from({ length: SHARED_PROMPTS }, () => Array.from({ length: 80 }, () => random.int(vocabSize)));
  const tally: Tally = { completed: 0, aborted: { queued: 0, prefill: 0, decode: 0, preempted: 0, choosing: 0 } };
  let left = count;
  const client = async (): Promise<void> => {
    while (left-- > 0) await runRequest(engine, planRequest(random, shared, vocabSize), tally);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return tally;
}

function planRequest(random: Random, shared: number[][], vocabSize: number): Plan {
  const fate = random.uniform();
  const [end, after] = endOf(fate, random);
  // Who overtakes all is in prefill when the end comes, and takes the pages of those who wait for that.
  const priority = fate < 0.1 ? 2 : end === "when preempted" ? -1 : random.int(2);
  const length = 1 + random.int(70) + (priority === 2 ? 100 : 0);
  const common = shared[random.int(shared.length)]!.slice(0, random.int(2) * random.int(80));
  const prompt = [...common, ...Array.from({ length }, () => random.int(vocabSize))];
  const maxTokens = end === "when preempted" ? 40 : 2 + random.int(12);
  const n = end === "when preempted" ? 1 : 1 + random.int(2);
  const params: GenerateParams = { ignoreEos: true, seed: 1, priority, maxTokens, n, speculate: random.int(2) === 0 };
  if (end === "by its processor" || random.int(10) === 0)
    params.logitsProcessor = (logits) => logits.map((logit, t) => (t === 5 ? 9 : logit));
  return { prompt, params, end, after };
}

function endOf(fate: number, random: Random): [Plan["end"], number] {
  if (fate < 0.16) return ["after turns", random.int(12)];
  if (fate < 0.27) return ["after tokens", random.int(8)];
  if (fate < 0.34) return ["by leaving", 0];
  if (fate < 0.39) return ["when preempted", 0];
  return fate < 0.43 ? ["by its processor", random.int(4)] : ["not", 0];
}

async function runRequest(engine: Engine, { prompt, params, end, after }: Plan, tally: Tally): Promise<void> {
  const [controller, reason] = [new AbortController(), new Error("the caller's reason")];
  let [tokens, ended, calls] = [0, false, 0];
  const abort = (): void => {
    if (!ended) tally.aborted[stateOf(engine, tokens, () => controller.abort(reason))] += 1;
    ended = true;
  };
  const { logitsProcessor } = params;
  const processor: GenerateParams["logitsProcessor"] = (logits, context) => {
    if (calls++ < after || ended) return logitsProcessor!(logits, context);
    tally.aborted.choosing += 1;
    ended = true;
    controller.abort(reason);
  };
  if (end === "after turns") void turns(after).then(abort);
  if (end === "when preempted") void watchPreemptions(engine, () => [tokens > 0, ended], abort);
  const all = { ...params, signal: controller.signal, ...(end === "by its processor" && { logitsProcessor: processor }) };
  try {
    for await (const chunk of engine.stream(prompt, all)) {
      tokens += chunk.tokens.length;
      if (end === "after tokens" && tokens > after) abort();
      if (end !== "by leaving") continue;
      tally.aborted.decode += 1;
      ended = true;
      break;
    }
    if (!ended) tally.completed += 1;
    ended = true;
  } catch (error) {
    expect(error).toBe(reason);
  }
}

/** The state of the one request that ended, by what the engine counts before and after, and by whether it had given a token. */
function stateOf(engine: Engine, tokens: number, end: () => void): State {
  const waiting = engine.stats().requestsWaiting;
  end();
  if (engine.stats().requestsWaiting < waiting) return tokens === 0 ? "queued" : "preempted";
  return tokens === 0 ? "prefill" : "decode";
}

/** Ends a request that has given tokens when somebody was preempted: the last by rank, which it mostly is. */
async function watchPreemptions(engine: Engine, state: () => [hasTokens: boolean, ended: boolean], end: () => void): Promise<void> {
  for (let before = engine.stats().preemptions; ; ) {
    await turns(1);
    const [hasTokens, ended] = state();
    const { preemptions } = engine.stats();
    if (ended || (hasTokens && preemptions > before)) break;
    before = preemptions;
  }
  end();
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
