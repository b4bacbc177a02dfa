import { expect } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import { Engine } from "../../../lib/engine.ts";
import { Tokenizer } from "../../../lib/tokenizer.ts";
import { held, NOTHING } from "./engines.ts";
import { callWithJunk } from "./junk.ts";

/** What the neighbour asks for. */
const BESIDE: GenerateParams = { maxTokens: 60, seed: 5, logprobs: 3, ignoreEos: true };

/** Makes junk calls beside requests that have to get what they get alone, to the bit. Says what became of them. */
export async function expectTypedErrors(count: number, seed: number): Promise<string> {
  const engine = await Engine.open("tales", { device: "cpu", threads: 1, kvCacheBytes: 2 ** 24 });
  const tokenizer = await Tokenizer.open("tales");
  try {
    const neighbour = async (): Promise<unknown> => (await engine.generate("Once upon a time", BESIDE)).logprobs;
    const alone = await neighbour();
    let done = false;
    const junk = callWithJunk({ engine, tokenizer, open: Engine.open as never, openTokenizer: Tokenizer.open as never }, count, seed);
    const ended = junk.finally(() => (done = true));
    let beside = 0;
    for (; !done; beside++) expect(await neighbour()).toEqual(alone);
    const { results, own, codes, untyped } = await ended;
    expect(untyped).toEqual([]);
    expect(held(engine)).toEqual(NOTHING);
    expect(results + own + [...codes.values()].reduce((sum, each) => sum + each, 0)).toBe(count);
    const errors = [...codes].map(([code, each]) => `${each} ${code}`).join(", ");
    return `${count} calls beside ${beside} requests: ${results} results, ${errors}, ${own} of the caller's own errors`;
  } finally {
    await Promise.all([engine.close(), tokenizer.close()]);
  }
}
