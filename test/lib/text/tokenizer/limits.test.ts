import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { TokenizerClient } from "../../../../lib/text/tokenizer/tokenizer.ts";
import { workerUrl } from "../../../../lib/workers/worker-client.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { byteLevelTokenizer } from "../../../support/tokenizers.ts";

const directory = temporaryDirectory();

function write(name: string, changes: Record<string, unknown>): string {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify({ ...byteLevelTokenizer(), ...changes }));
  return path;
}

function open(name: string, changes: Record<string, unknown> = {}): Promise<TokenizerClient> {
  return TokenizerClient.open({ kind: "huggingface", directory: write(name, changes) });
}

/** What a promise ends with, and after how many milliseconds. */
async function timed<T>(promise: Promise<T>): Promise<{ value?: T; code?: string; ms: number }> {
  const start = performance.now();
  try {
    const value = await promise;
    return { value, ms: performance.now() - start };
  } catch (error) {
    return { code: (error as { code: string }).code, ms: performance.now() - start };
  }
}

/** Takes time exponential in the number of a's before something else. */
const HANGS = { Regex: "(a|a)*$" };
const BYTES = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
const SPLIT = { type: "Split", pattern: HANGS, behavior: "Isolated" };
const HANGING = { pre_tokenizer: { type: "Sequence", pretokenizers: [SPLIT, BYTES] } };
const VICTIM = `${"a".repeat(40)}b`;

describe("a tokenizer.json that hangs or eats memory", () => {
  test("costs its own call alone", async () => {
    const tokenizer = await open("hangs", HANGING);
    const hung = timed(tokenizer.encode(VICTIM));
    const others = await Promise.all(["x", "yz", "z"].map((text) => timed(tokenizer.encode(text))));
    if (availableParallelism() > 1) for (const { ms } of others) expect(ms).toBeLessThan(4500);
    const { code, ms } = await hung;
    expect(code).toBe("TOKENIZER_FAILED");
    expect(ms).toBeLessThan(7500);
    expect(tokenizer.detokenize(await tokenizer.encode("still"))).toBe("still");
    const last = timed(tokenizer.encode(VICTIM));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await timed(tokenizer.close())).ms).toBeLessThan(3000);
    expect((await last).code).toBe("CLOSED");
  });

  test("is refused where it hangs already when it is opened", async () => {
    const normalizer = { type: "Replace", pattern: HANGS, content: "" };
    const opened = await timed(open("opening", { normalizer, added_tokens: [{ id: 300, content: VICTIM, normalized: true }] }));
    expect(opened.code).toBe("TOKENIZER_FAILED");
    expect(opened.ms).toBeLessThan(7500);
  });

  test("may not double a text again and again", async () => {
    const double = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    const tokenizer = await open("doubles", { normalizer: { type: "Sequence", normalizers: Array(24).fill(double) } });
    expect((await timed(tokenizer.encode("aaaa"))).code).toBe("TOKENIZER_FAILED");
    await tokenizer.close();
    const bytes = await open("bytes", { pre_tokenizer: { type: "Sequence", pretokenizers: Array(40).fill(BYTES) } });
    expect((await timed(bytes.encode("é"))).code).toBe("TOKENIZER_FAILED");
    await bytes.close();
  });

  test("an added token of 20,000 characters is one token", async () => {
    const content = "ab".repeat(10_000);
    const tokenizer = await open("long", { added_tokens: [{ id: 300, content }] });
    expect(await tokenizer.encode(content)).toEqual(Int32Array.of(300));
    await tokenizer.close();
  });

  test("does not keep the process from exiting", async () => {
    const module = new URL("../text/tokenizer/tokenizer.js", workerUrl("tokenizer-worker")).href;
    const source = JSON.stringify({ kind: "huggingface", directory: write("exits", HANGING) });
    const program = `import { TokenizerClient } from ${JSON.stringify(module)}; const t = await TokenizerClient.open(${source});
      t.encode(${JSON.stringify(VICTIM)}).catch(() => {}); setTimeout(() => { console.log(Date.now()); process.exit(7); }, 300);`;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
    const { code, stdout } = (await run.catch((error: unknown) => error)) as { code: number; stdout: string };
    expect(code).toBe(7);
    expect(Date.now() - Number(stdout)).toBeLessThan(4500);
  });
});

describe("long texts", () => {
  test("that cannot fit are refused before they are encoded", async () => {
    const tokenizer = await open("fits");
    const refused = await timed(tokenizer.encode("x".repeat(5_000_000), { maxTokens: 1000 }));
    expect(refused).toMatchObject({ code: "PROMPT_TOO_LONG" });
    expect(refused.ms).toBeLessThan(600);
    expect(await timed(tokenizer.encode("x".repeat(5_000_000)))).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await tokenizer.encode("x".repeat(1000), { maxTokens: 1000 })).toHaveLength(1000);
    await tokenizer.close();
  });

  test.skipIf(availableParallelism() === 1)("keep no short one waiting, and end at once when they are aborted", async () => {
    const tokenizer = await open("waits");
    // The second thread is there.
    await Promise.all([tokenizer.encode("a"), tokenizer.encode("b"), new Promise((resolve) => setTimeout(resolve, 500))]);
    const abort = new AbortController();
    let ended = false;
    const long = tokenizer.encode("x\n".repeat(2_000_000), { signal: abort.signal }).finally(() => {
      ended = true;
    });
    const rejected = expect(long).rejects.toThrow("enough");
    for (let i = 0; i < 20; i++) expect(await tokenizer.encode("ab")).toHaveLength(2);
    expect(ended).toBe(false);
    abort.abort(new Error("enough"));
    await rejected;
    const next = await timed(tokenizer.encode("y".repeat(20_000)));
    expect(next.value).toHaveLength(20_000);
    await expect(tokenizer.encode("z", { signal: abort.signal })).rejects.toThrow("enough");
    await tokenizer.close();
  });

  test("of a million characters that nothing splits take no longer than others", async () => {
    const ids = Object.fromEntries([..."ab", "aa", "aaaa"].map((piece, i) => [piece, 300 + i]));
    const { model } = byteLevelTokenizer();
    const changes = { model: { ...model, vocab: { ...model.vocab, ...ids }, merges: ["a a", "aa aa"] } };
    const tokenizer = await open("million", { ...changes, pre_tokenizer: BYTES });
    const { value, ms } = await timed(tokenizer.encode("a".repeat(1_000_000)));
    expect(value).toHaveLength(250_000);
    expect(ms).toBeLessThan(24_000);
    await tokenizer.close();
  });
});

test("text without well-formed surrogates is encoded as U+FFFD", async () => {
  const tokenizer = await open("surrogates");
  for (const text of ["\ud800", "a\udc00b", "\ud83d\ud83d\ude00"])
    expect(tokenizer.detokenize(await tokenizer.encode(text))).toBe(Buffer.from(text).toString());
  await tokenizer.close();
});
