import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { Tokenizer } from "../../lib/tokenizer.ts";
import { expectError } from "../support/expect.ts";
import { openEngine } from "./support/engines.ts";
import { useFakeHub } from "./support/hub.ts";

const { hub, home } = await useFakeHub();
const tales = readFileSync(fileURLToPath(new URL("../../models/tales-q4_0.gguf", import.meta.url)));
hub.add("org/tales-GGUF", { "tales-Q4_0.gguf": tales, "tales-BF16.gguf": Buffer.alloc(10), "README.md": "Tales" });
const request = { maxTokens: 12, seed: 3 };

test("a model by name writes what the same files write", async () => {
  const steps: { phase: string; loadedBytes: number; totalBytes: number }[] = [];
  const engine = await openEngine("org/tales-GGUF", { onProgress: (step) => steps.push(step) });
  const { text } = await engine.generate("Once upon a time", request);
  expect(text).toBe((await (await openEngine("tales")).generate("Once upon a time", request)).text);
  expect([...new Set(steps.map(({ phase }) => phase))]).toEqual(["download", "load"]);
  const downloaded = steps.findLast(({ phase }) => phase === "download");
  expect(downloaded).toEqual({ phase: "download", loadedBytes: tales.length, totalBytes: tales.length });
});

test("a rejected promise of the last report of a download ends the opening", async () => {
  hub.add("org/again-GGUF", { "again-Q4_0.gguf": tales });
  const mine = new Error("mine");
  const onProgress = ({ phase, loadedBytes }: { phase: string; loadedBytes: number }): unknown =>
    phase === "download" && loadedBytes === tales.length ? Promise.reject(mine) : undefined;
  await expect(openEngine("org/again-GGUF", { onProgress: onProgress as () => void })).rejects.toBe(mine);
});

test("a directory's model is opened by name, without a network the second time, and is called by its name", async () => {
  const engine = await openEngine("org/tiny");
  const { tokens } = await engine.generate([1, 2, 3], { maxTokens: 5, temperature: 0 });
  hub.reset();
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  const again = await openEngine("org/tiny");
  expect((await again.generate([1, 2, 3], { maxTokens: 5, temperature: 0 })).tokens).toEqual(tokens);
  await expectError(again.generate("text"), "NO_TOKENIZER", "model org/tiny came without one");
  vi.stubEnv("HF_HUB_OFFLINE", "");
  expect(hub.seen).toEqual([]);
});

test("a tokenizer, and a draft model, are opened by name, too", async () => {
  await using tokenizer = await Tokenizer.open("org/tales-GGUF:Q4_0");
  expect(await tokenizer.decode(await tokenizer.encode("Once upon a time"))).toContain("Once upon a time");
  await openEngine("tales", { speculate: { draft: "hf:org/tales-GGUF:tales-Q4_0.gguf" } });
});

test("a path that exists wins over a name, unless the hub is asked for", async () => {
  const before = process.cwd();
  mkdirSync(join(home, "org/tiny"), { recursive: true });
  process.chdir(home);
  try {
    await expectError(openEngine("org/tiny"), "FILE_NOT_FOUND", "config.json");
    await openEngine("hf:org/tiny");
    await expectError(openEngine("./org/absent"), "FILE_NOT_FOUND", "./org/absent");
    await expectError(openEngine("org/absent.gguf"), "FILE_NOT_FOUND", "org/absent.gguf");
  } finally {
    process.chdir(before);
  }
});

test.each([
  "hf:../../etc/passwd",
  "hf:/etc/passwd",
  "hf:tales",
  "hf:org/..",
  "hf:org\\tiny",
  "hf:",
  "hf:a/b/c",
  "hf:org/tiny:",
  "hf:org/tiny@../x",
])("%s is no name", async (model) => {
  hub.reset();
  await expectError(openEngine(model), "INVALID_ARGUMENT", "expected");
  expect(hub.seen).toEqual([]);
});

test("a signal ends a download", async () => {
  hub.intercept = ({ server }) => server === "storage";
  await expect(openEngine("org/tales-GGUF@v1.0:BF16", { signal: AbortSignal.timeout(300) })).rejects.toThrow("timeout");
  hub.reset();
  await expectError(openEngine("org/tiny", { signal: 5 as never }), "INVALID_ARGUMENT", "signal");
  expect(hub.seen).toEqual([]);
});
