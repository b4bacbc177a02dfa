import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { TokenizerClient } from "../../../../lib/text/tokenizer/tokenizer.ts";
import { workerUrl } from "../../../../lib/workers/worker-client.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { BYTES, byteLevelJson, splitBy } from "../../../support/tokenizer-json.ts";

// Nothing here takes the time of day: deadlines are of processor time, and what would hang never ends by itself.

const directory = temporaryDirectory();

function write(name: string, parts: Record<string, unknown>): string {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify(byteLevelJson(parts)));
  return path;
}

function open(name: string, parts: Record<string, unknown> = {}): Promise<TokenizerClient> {
  return TokenizerClient.open({ kind: "huggingface", directory: write(name, parts) });
}

/** Has both threads started, where there are cores for two. */
async function warmUp(tokenizer: TokenizerClient): Promise<void> {
  await Promise.all([tokenizer.encode("a"), tokenizer.encode("b")]);
}

/** Whether a promise is settled, as of now. */
function watch(promise: Promise<unknown>): { settled: boolean } {
  const watched = { settled: false };
  const settle = (): void => {
    watched.settled = true;
  };
  promise.then(settle, settle);
  return watched;
}

/** Takes time exponential in the number of a's before something else: {@link VICTIM} would take years. */
const HANGS = "(a|a)*$";
const HANGING = { pre_tokenizer: splitBy(HANGS) };
const VICTIM = `${"a".repeat(60)}b`;
const PAST_DEADLINE = { code: "TOKENIZER_FAILED", message: expect.stringContaining("it took more than 1701 ms") };
const REFUSED = { code: "TOKENIZER_FAILED", message: expect.stringContaining("characters of the text") };

const twoThreads = test.skipIf(availableParallelism() === 1);

describe("a tokenizer.json that hangs or eats memory", () => {
  twoThreads("costs its own call alone", async () => {
    const tokenizer = await open("hangs", HANGING);
    await warmUp(tokenizer);
    const hung = tokenizer.encode(VICTIM);
    const watched = watch(hung);
    for (const text of ["x", "yz", "z"]) expect(await tokenizer.detokenize(await tokenizer.encode(text))).toBe(text);
    expect(watched.settled).toBe(false);
    await expect(hung).rejects.toMatchObject(PAST_DEADLINE);
    expect(await tokenizer.detokenize(await tokenizer.encode("still"))).toBe("still");
    await tokenizer.close();
  });

  test("keeps no tokenizer from being closed", async () => {
    const tokenizer = await open("closes", HANGING);
    const call = expect(tokenizer.encode(VICTIM)).rejects.toMatchObject({ code: "CLOSED" });
    await tokenizer.close();
    await call;
  });

  test("keeps no process from exiting", async () => {
    const module = new URL("../text/tokenizer/tokenizer.js", workerUrl("tokenizer-worker")).href;
    const source = JSON.stringify({ kind: "huggingface", directory: write("exits", HANGING) });
    const program = `import { TokenizerClient } from ${JSON.stringify(module)}; const t = await TokenizerClient.open(${source});
      t.encode(${JSON.stringify(VICTIM)}).catch(() => console.log("ended")); setTimeout(() => process.exit(7), 300);`;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
    await expect(run).rejects.toMatchObject({ code: 7, stdout: "" });
  });

  test("is refused where it hangs already when it is opened", async () => {
    const normalizer = { type: "Replace", pattern: { Regex: HANGS }, content: "" };
    const opened = open("opening", { normalizer, added_tokens: [{ id: 300, content: VICTIM, normalized: true }] });
    await expect(opened).rejects.toMatchObject({ code: "TOKENIZER_FAILED", message: expect.stringContaining("it took more than") });
  });

  test("may not double a text again and again", async () => {
    const double = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    const tokenizer = await open("doubles", { normalizer: { type: "Sequence", normalizers: Array(24).fill(double) } });
    await expect(tokenizer.encode("aaaa")).rejects.toMatchObject(REFUSED);
    await tokenizer.close();
    const bytes = await open("bytes", { pre_tokenizer: { type: "Sequence", pretokenizers: Array(40).fill(BYTES) } });
    await expect(bytes.encode("é")).rejects.toMatchObject(REFUSED);
    await bytes.close();
  });

  test("an added token of 20,000 characters is one token", async () => {
    const content = "ab".repeat(10_000);
    const tokenizer = await open("long", { added_tokens: [{ id: 300, content }] });
    expect(await tokenizer.encode(content)).toEqual(Int32Array.of(300));
    await tokenizer.close();
  });
});

describe("long texts", () => {
  test("that cannot fit are refused before they are encoded", async () => {
    const tokenizer = await open("fits", HANGING);
    await expect(tokenizer.encode(VICTIM, { maxTokens: 10 })).rejects.toMatchObject({ code: "PROMPT_TOO_LONG" });
    const long = "x".repeat(5_000_000);
    await expect(tokenizer.encode(long, { maxTokens: 1000 })).rejects.toMatchObject({ code: "PROMPT_TOO_LONG" });
    await expect(tokenizer.encode(long)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await tokenizer.encode("x".repeat(1000), { maxTokens: 1000 })).toHaveLength(1000);
    await tokenizer.close();
  });

  twoThreads("keep no short one waiting, and end at once when they are aborted", async () => {
    const tokenizer = await open("waits", HANGING);
    await warmUp(tokenizer);
    const abort = new AbortController();
    // All but without end: 20 s of processor time.
    const long = tokenizer.encode(VICTIM.padEnd(2_000_000, "x"), { signal: abort.signal });
    const waiting = new AbortController();
    const given = tokenizer.encode("x".repeat(20_000), { signal: waiting.signal });
    const next = tokenizer.encode("y".repeat(20_000));
    const [first, second] = [watch(long), watch(next)];
    for (let i = 0; i < 20; i++) expect(await tokenizer.encode("ab")).toHaveLength(2);
    waiting.abort(new Error("no more"));
    await expect(given).rejects.toThrow("no more");
    expect([first.settled, second.settled]).toEqual([false, false]);
    abort.abort(new Error("enough"));
    await expect(long).rejects.toThrow("enough");
    expect(await next).toHaveLength(20_000);
    await expect(tokenizer.encode("z", { signal: abort.signal })).rejects.toThrow("enough");
    await tokenizer.close();
  });

  test("of a million characters that nothing splits are within what any text may take", async () => {
    const tokenizer = await open("million", { pre_tokenizer: BYTES });
    expect(await tokenizer.encode("l".repeat(1_000_000))).toHaveLength(500_000);
    await tokenizer.close();
  });
});

test("text without well-formed surrogates is encoded as U+FFFD", async () => {
  const tokenizer = await open("surrogates");
  for (const text of ["\ud800", "a\udc00b", "\ud83d\ud83d\ude00"])
    expect(await tokenizer.detokenize(await tokenizer.encode(text))).toBe(Buffer.from(text).toString());
  await tokenizer.close();
});
