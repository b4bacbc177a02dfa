import { expect, test } from "vitest";
import type { GenerateParams } from "../../lib/api/params.ts";
import type { Engine } from "../../lib/engine.ts";
import { Random } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { held, NOTHING, openEngine } from "./support/engines.ts";
import { cacheFor, GEMMA3, writeQuantizedModel } from "./support/random-models.ts";

const COUNT = 2000;
/** Requests under way at once: more than the pages hold, so that some wait. */
const CLIENTS = 48;

type State = "queued" | "prefill" | "decode";

/** What became of the requests. */
interface Tally {
  completed: number;
  aborted: Record<State, number>;
}

/** The state of the one request that ended, by what the engine counts before and after, and by whether it had given a token. */
function stateOf(engine: Engine, tokens: number, end: () => void): State {
  const waiting = engine.stats().requestsWaiting;
  end();
  if (engine.stats().requestsWaiting < waiting) return "queued";
  return tokens === 0 ? "prefill" : "decode";
}

/** One request: ended through its signal after some turns of the event loop or some tokens, by leaving its loop, or not at all. */
async function request(engine: Engine, random: Random, tally: Tally): Promise<void> {
  const fate = random.uniform();
  // Who overtakes all is in prefill when the end comes.
  const priority = fate < 0.1 ? 1 : 0;
  const prompt = Array.from({ length: 1 + random.int(70) + 100 * priority }, () => random.int(GEMMA3.vocabSize));
  const [controller, reason] = [new AbortController(), new Error("the caller's reason")];
  const common = { ignoreEos: true, seed: 1, signal: controller.signal, priority };
  const params: GenerateParams = { ...common, maxTokens: 2 + random.int(12), n: 1 + random.int(2), speculate: random.int(2) === 0 };
  const after = random.int(fate < 0.2 ? 12 : 8);
  let [tokens, ended] = [0, false];
  const abort = (): void => {
    if (!ended) tally.aborted[stateOf(engine, tokens, () => controller.abort(reason))] += 1;
    ended = true;
  };
  if (fate < 0.2) void turns(after).then(abort);
  try {
    for await (const chunk of engine.stream(prompt, params)) {
      tokens += chunk.tokens.length;
      if (fate >= 0.2 && fate < 0.35 && tokens > after) abort();
      if (fate >= 0.35 && fate < 0.42) {
        tally.aborted.decode += 1;
        ended = true;
        break;
      }
    }
    if (!ended) tally.completed += 1;
    ended = true;
  } catch (error) {
    expect(error).toBe(reason);
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

const directory = temporaryDirectory();

test.each([
  ["plain", () => undefined],
  ["half of them guessing", (path: string) => ({ lookup: true, draft: path })],
])("2,000 requests, %s, 40 % of them ended in the queue, in prefill and in decode: pages and requests return to 0", async (_, guess) => {
  const { path } = await writeQuantizedModel(directory, "aborts", GEMMA3);
  const options = { kvType: "f16", maxBatchTokens: 32 } as const;
  const speculate = guess(path);
  const kvCacheBytes = cacheFor(GEMMA3, speculate === undefined ? 400 : 800, options);
  const engine = await openEngine(path, { ...options, kvCacheBytes, ...(speculate && { speculate }) }, { always: true });
  const random = new Random(3);
  const tally: Tally = { completed: 0, aborted: { queued: 0, prefill: 0, decode: 0 } };
  let left = COUNT;
  const client = async (): Promise<void> => {
    while (left-- > 0) await request(engine, random, tally);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const { queued, prefill, decode } = tally.aborted;
  expect(tally.completed + queued + prefill + decode).toBe(COUNT);
  expect(Math.min(queued, prefill, decode)).toBeGreaterThan(20);
  expect((queued + prefill + decode) / COUNT).toBeGreaterThan(0.35);
  expect(held(engine)).toEqual(NOTHING);
  expect(engine.stats().acceptedLength > 1).toBe(speculate !== undefined);
  console.log(`ended in the queue ${queued}, in prefill ${prefill}, in decode ${decode}; completed ${tally.completed}`);
  // What is left is whole: a request still runs, alone.
  expect((await engine.generate([1, 2, 3], { maxTokens: 5, ignoreEos: true })).tokens).toHaveLength(5);
});
