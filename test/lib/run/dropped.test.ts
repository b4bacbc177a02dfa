import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** In a process of its own, whose garbage is collected when it says so, and which has the built library. */
function run(script: string): unknown {
  const library = fileURLToPath(new URL("../../../dist/index.js", import.meta.url));
  const source = `
    import { readdirSync } from "node:fs";
    import { Engine, Tokenizer } from ${JSON.stringify(library)};
    const threads = () => readdirSync("/proc/self/task").length;
    const warned = [];
    process.on("warning", ({ code }) => warned.push(code));
    const collect = async (until) => {
      for (let i = 0; i < 200 && !until(); i++) {
        globalThis.gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    ${script}`;
  const flags = ["--expose-gc", "--no-warnings", "--input-type=module"];
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, "-e", source], { encoding: "utf8", timeout: 120_000 });
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`${stdout}${stderr}`);
  }
}

test("engines and tokenizers that nobody closed are closed, with a warning each", () => {
  const { before, during, after, warned } = run(`
    const use = async () => {
      const engine = await Engine.open("tales", { threads: 1 });
      await engine.generate("Once", { maxTokens: 2 });
      const tokenizer = await Tokenizer.open("tales");
      await tokenizer.encode("Once");
    };
    await (await Engine.open("tales", { threads: 1 })).close();
    const before = threads();
    for (let i = 0; i < 4; i++) await use();
    const during = threads();
    await collect(() => warned.length === 8 && threads() <= before);
    console.log(JSON.stringify({ before, during, after: threads(), warned }));
  `) as { before: number; during: number; after: number; warned: string[] };
  expect(warned).toEqual(Array.from({ length: 8 }, () => "KVASIR_NOT_CLOSED"));
  expect(during).toBeGreaterThan(before);
  expect(after).toBeLessThanOrEqual(before);
});

test("an engine whose calls somebody waits for stays, whoever holds it; one that was closed is no matter", () => {
  const { ended, warned } = run(`
    const params = { maxTokens: 100, temperature: 0, ignoreEos: true };
    const open = () => Engine.open("tales", { threads: 1 });
    const streamed = async () => {
      let count = 0;
      for await (const { tokens } of (await open()).stream("Once", params)) count += tokens.length;
      return count;
    };
    const generated = async () => (await (await open()).generate("Once", params)).tokens.length;
    const scored = async () => (await (await open()).score(Array.from({ length: 200 }, () => 300))).tokens.length;
    const tokenized = async () => (await (await open()).tokenize("x ".repeat(100_000))).length;
    const encoded = async () => (await (await Tokenizer.open("tales")).encode("x ".repeat(100_000))).length;
    const closed = async () => (await open()).close();
    const calls = Promise.allSettled([streamed(), generated(), scored(), tokenized(), encoded(), closed()]);
    let ended;
    calls.then((results) => (ended = results.map(({ value, reason }) => value ?? reason?.code)));
    await collect(() => ended !== undefined);
    await collect(() => warned.length === 5);
    console.log(JSON.stringify({ ended, warned: warned.length }));
  `) as { ended: unknown[]; warned: number };
  expect(ended.slice(0, 3)).toEqual([100, 100, 200]);
  expect(ended[3]).toBe(ended[4]);
  expect(warned).toBe(5);
});
