import { existsSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { IMPORTED, IN_WORKER, type Outcome, Project, pack, REQUIRED } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tool } from "../../support/tools.ts";

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
beforeAll(() => project.install(pack(tarballs).path), 300_000);

/** The parts of the API that lean on the runtime most: streams, signals, errors, typed arrays that JavaScript's functions change. */
const USED = `import { Engine } from "kvasir";
const engine = await Engine.open("tales");
const messages = [{ role: "user", content: "Tell me a story about a fox." }];
let story = "";
for await (const { text } of engine.stream({ messages }, { maxTokens: 24, seed: 1 })) story += text;
for await (const _ of engine.stream("Once", { maxTokens: 900, ignoreEos: true })) break;
const [aborted, refused] = await Promise.allSettled([
  engine.generate("Once", { maxTokens: 900, ignoreEos: true, signal: AbortSignal.timeout(20) }),
  engine.generate("Once", { topP: 2 }),
]);
const { usage } = await engine.generate("Once", { maxTokens: 4, logitsProcessor: (logits) => void logits.fill(0) });
const { logprobs } = await engine.score("Once upon a time");
console.log(story.length > 40, aborted.reason.name, refused.reason.code, usage.completionTokens, logprobs.length);
const last = engine.generate("Once", { maxTokens: 900, ignoreEos: true }).catch(({ code }) => code);
await engine.close();
console.log(await last);
`;

const DENO_FLAGS = ["run", "--no-prompt", "--allow-ffi", "--allow-read", "--allow-env", "--allow-sys"];

/** Their binaries are packages, which are installed on Linux x64 alone. */
describe.each([
  { name: "Bun", binary: tool("@oven/bun-linux-x64/bin/bun"), flags: ["run"] },
  { name: "Deno", binary: tool("@deno/linux-x64-glibc/deno"), flags: DENO_FLAGS },
])("$name", ({ name, binary, flags }) => {
  const runs = existsSync(binary);
  if (!runs) console.warn(`SKIPPED: ${name} is not installed (test/package/full, on Linux x64 alone)`);
  const run = (file: string, source: string): Outcome => project.run(binary, ...flags, project.write(file, source));

  it.skipIf(!runs).each([
    ["import", "main.mjs", IMPORTED],
    ["require", "main.cjs", REQUIRED],
    ["a worker thread", "worker.mjs", IN_WORKER],
  ])("generates text: %s", (_, file, source) => {
    const { status, stdout, stderr } = run(file, source);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^story: \w+/);
  });

  it.skipIf(!runs)("streams, aborts, fails, processes logits, scores and closes", () => {
    const { status, stdout, stderr } = run("used.mjs", USED);
    expect(status, stderr).toBe(0);
    expect(stdout.split("\n")).toEqual(["true TimeoutError INVALID_ARGUMENT 4 4", "CLOSED", ""]);
  });
});
