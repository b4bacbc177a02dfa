import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { Tokenizer } from "../../../../lib/text/tokenizer/tokenizer.ts";
import { workerUrl } from "../../../../lib/workers/worker-client.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { byteLevelJson, splitBy } from "../../../support/tokenizers.ts";

const root = temporaryDirectory();
const opened: Tokenizer[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((tokenizer) => tokenizer.close()));
});

function write(json: unknown): string {
  const directory = mkdtempSync(join(root, "t-"));
  writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(json));
  return directory;
}

async function open(parts: Record<string, unknown> = {}): Promise<Tokenizer> {
  const tokenizer = await Tokenizer.open({ kind: "huggingface", directory: write(byteLevelJson(parts)) });
  opened.push(tokenizer);
  return tokenizer;
}

/** Hangs on {@link ATTACK}, and on nothing else. */
const HANGS = { pre_tokenizer: splitBy("(a|a)*$") };
const ATTACK = `${"a".repeat(60)}b`;

async function milliseconds(promise: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await promise;
  return performance.now() - start;
}

describe("a call ends by itself, and alone", () => {
  test("a regular expression that hangs costs its own call", async () => {
    const tokenizer = await open(HANGS);
    const attack = expect(tokenizer.encode(ATTACK)).rejects.toMatchObject({
      code: "TOKENIZER_FAILED",
      message: expect.stringContaining("deadline"),
    });
    const others = Promise.all([tokenizer.encode("hello"), tokenizer.encode("he")]);
    expect(await milliseconds(attack)).toBeLessThan(4000);
    expect((await others).map((ids) => ids.length)).toEqual([3, 1]);
  });

  test("a text that grows without end", async () => {
    const doubling = Array.from({ length: 24 }, () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" }));
    const tokenizer = await open({ normalizer: { type: "Sequence", normalizers: doubling } });
    await expect(tokenizer.encode("aaaaaaaa")).rejects.toMatchObject({
      code: "TOKENIZER_FAILED",
      message: expect.stringContaining("characters"),
    });
    expect(await tokenizer.encode("he")).toHaveLength(1);
  });

  test("a regular expression that runs out of stack", async () => {
    const tokenizer = await open();
    const ended = await tokenizer.encode("語".repeat(4_000_000)).then(
      ({ length }) => length,
      ({ code }) => code,
    );
    // Where it does depends on the processor.
    expect([12_000_000, "TOKENIZER_FAILED"]).toContain(ended);
  });

  test("a long added token", async () => {
    const tokenizer = await open({ added_tokens: [{ id: 300, content: "a".repeat(20_000), special: false, normalized: true }] });
    expect([...(await tokenizer.encode("a".repeat(20_000)))]).toEqual([300]);
    expect(await tokenizer.encode("hello")).toHaveLength(3);
  });

  test("close is quick while a call hangs, and so is the end of the process", async () => {
    const tokenizer = await open(HANGS);
    const attack = expect(tokenizer.encode(ATTACK)).rejects.toMatchObject({ code: "CLOSED" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await milliseconds(tokenizer.close())).toBeLessThan(1000);
    await attack;
    const module = JSON.stringify(new URL("../text/tokenizer/tokenizer.js", workerUrl("tokenizer-worker")).href);
    const source = JSON.stringify({ kind: "huggingface", directory: write(byteLevelJson(HANGS)) });
    const program = `import { Tokenizer } from ${module}; const t = await Tokenizer.open(${source}); t.encode(${JSON.stringify(ATTACK)}); setTimeout(() => process.exit(3), 100);`;
    const start = performance.now();
    const ended = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
    await expect(ended).rejects.toMatchObject({ code: 3 });
    expect(performance.now() - start).toBeLessThan(1700);
  });
});

describe("an aborted call", () => {
  test("rejects with the reason at once and frees its thread", async () => {
    const tokenizer = await open(HANGS);
    const controller = new AbortController();
    const attack = tokenizer.encode(ATTACK, {}, { signal: controller.signal });
    const next = tokenizer.encode("hello");
    setTimeout(() => controller.abort(new Error("mine")), 30);
    expect(await milliseconds(expect(attack).rejects.toThrow("mine"))).toBeLessThan(500);
    expect(await milliseconds(next)).toBeLessThan(1500);
  });

  test("is never run where it still waits, and keeps its thread where it ends by itself", async () => {
    const tokenizer = await open();
    const reason = new Error("mine");
    await expect(tokenizer.encode("he", {}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const calls = [tokenizer.encode("he", {}, { signal: controller.signal }), tokenizer.encode("ll", {}, { signal: controller.signal })];
    controller.abort(reason);
    expect((await Promise.allSettled(calls)).map((result) => result.status === "rejected" && result.reason)).toEqual([reason, reason]);
    expect(await tokenizer.encode("he")).toHaveLength(1);
  });
});

describe("long texts", () => {
  test("a short text doesn't wait for a long one", async () => {
    const tokenizer = await open(HANGS);
    const controller = new AbortController();
    const long = expect(tokenizer.encode(`${ATTACK}${" ".repeat(20_000)}`, {}, { signal: controller.signal })).rejects.toThrow("mine");
    expect(await tokenizer.encode("hello")).toHaveLength(3);
    controller.abort(new Error("mine"));
    await long;
  });

  test("what can't fit is refused before it is encoded", async () => {
    const tokenizer = await open({ pre_tokenizer: splitBy("(a|a)*$") });
    const start = performance.now();
    // Two bytes a token at most, but for `<s>`, which has three.
    await expect(tokenizer.encode(ATTACK.repeat(1000), {}, { maxTokens: 15_000 })).rejects.toMatchObject({ code: "PROMPT_TOO_LONG" });
    await expect(tokenizer.encodeChat({ text: ATTACK, masks: [] }, { maxTokens: 10 })).rejects.toMatchObject({ code: "PROMPT_TOO_LONG" });
    expect(performance.now() - start).toBeLessThan(500);
    expect(await tokenizer.encode("<s><s>", {}, { maxTokens: 2 })).toEqual(Int32Array.of(0, 0));
    expect(await tokenizer.encode("hehe", {}, { maxTokens: 2 })).toHaveLength(2);
    await expect(tokenizer.encode("x".repeat(5_000_000)).then(({ length }) => length)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("normalizers that shorten are minded", async () => {
    const composing = await open({ normalizer: { type: "NFC" } });
    expect(await composing.encode("e\u0301".repeat(100), {}, { maxTokens: 200 })).toHaveLength(200);
    const dropping = await open({ normalizer: { type: "Replace", pattern: { Regex: " +" }, content: "" } });
    expect(await dropping.encode(`he${" ".repeat(10_000)}`, {}, { maxTokens: 1 })).toHaveLength(1);
  });

  test.each([" ", "a", "語", "\n", "🙂", "e\u0301"])("a million of %j is linear in time", async (unit) => {
    const tokenizer = await open();
    // A second is what it takes alone on a machine of two cores at the most; tests run side by side.
    expect(await milliseconds(tokenizer.encode(unit.repeat(1_000_000 / unit.length)))).toBeLessThan(4000);
  });
});
