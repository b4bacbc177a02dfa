import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { GPU_RESERVE, type Machine } from "../../../lib/api/device.ts";
import { memoryBytes } from "../../../lib/api/memory.ts";
import { openCached } from "../../../lib/cli/cached.ts";
import { readArguments } from "../../../lib/cli/command-line.ts";
import { COMMANDS } from "../../../lib/cli/commands.ts";
import { fitOf } from "../../../lib/cli/fit.ts";
import { Engine } from "../../../lib/engine.ts";
import { LARGE, writeSparseLlama } from "../../support/sparse-model.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const scratch = temporaryDirectory();

function kvasirFit(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, HF_HOME: join(scratch, "hub"), HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, "fit", ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe("kvasir fit", () => {
  it("advises to end other programs only where that helps", async () => {
    const { stdout } = await kvasirFit("tales", "--device", "cpu", "--context", String(2 ** 30));
    expect(stdout).toMatch(/TB of/);
    expect(stdout).not.toContain("end other programs");
  });

  it("says what a model takes at a context and batch", async () => {
    const args = ["tales", "--device", "cpu", "--batch", "4", "--context", "512"];
    const [plain, json, wide] = await Promise.all([
      kvasirFit(...args),
      kvasirFit(...args, "--json"),
      kvasirFit(...args, "--kv-type", "f32", "--json"),
    ]);
    const found = JSON.parse(json.stdout);
    expect(found).toMatchObject({
      architecture: "llama",
      contextLength: 1024,
      device: "cpu",
      load: { batch: 4, context: 512, kvType: "f16" },
      bytes: { cache: 4 * 512 * 6144 },
      memory: { total: memoryBytes() },
      fits: true,
      largest: { context: 1024, batch: 256 },
    });
    const { weights, cache, workspace, process, total } = found.bytes;
    expect(weights + cache + workspace + process).toBe(total);
    expect(JSON.parse(wide.stdout).bytes.cache).toBe(2 * cache);
    expect([plain.code, plain.stderr]).toEqual([0, ""]);
    expect(plain.stdout).toContain("cache      12.6 MB for 4 requests of 512 tokens, f16\n");
    const options = { device: "cpu", maxContext: 512, kvCacheBytes: 12582912 };
    expect(plain.stdout).toContain('Engine.open(model, { device: "cpu", maxContext: 512, kvCacheBytes: 12582912 })');
    expect(found.options).toEqual(options);
    expect(JSON.parse(wide.stdout).options).toEqual({ ...options, kvType: "f32", kvCacheBytes: 2 * 12582912 });
  });

  it.each([
    [["--context", "2048"], "longer than the 1,024 tokens that the model was trained for"],
    [["--context", "1024"], undefined],
    [["--context", "1024", "--batch", "200"], undefined],
  ])("of a context beyond what the model was trained for says so: %j", async (load, words) => {
    const { code, stdout } = await kvasirFit("tales", "--device", "cpu", ...load);
    expect([code, /^fits +yes.*$/m.test(stdout)]).toEqual([0, true]);
    if (words === undefined) expect(stdout).not.toContain("longer than");
    else expect(stdout).toContain(words);
  });

  it("names the options of an engine that has just this cache", async () => {
    const { stdout } = await kvasirFit("tales", "--device", "cpu", "--kv-type", "f32", "--batch", "2", "--context", "256", "--json");
    const engine = await Engine.open("tales", JSON.parse(stdout).options);
    expect(engine.stats()).toMatchObject({ device: "cpu", kvType: "f32", maxContext: 256, pagesTotal: 32 });
    await engine.close();
  });

  it("keeps one reserve of a GPU for the driver and the workspace", async () => {
    const { args } = readArguments(["fit", "tales"], COMMANDS);
    const machine: Machine = { isas: () => ["portable"], gpuCount: () => 1, gpuFreeBytes: () => 8e10 };
    const { device, bytes, options } = fitOf("tales", await openCached("tales"), args, machine);
    expect([device, bytes.workspace + bytes.process, bytes.workspace > 0]).toEqual(["cuda:0", GPU_RESERVE, true]);
    expect(options).toEqual({ maxContext: 1024, kvCacheBytes: bytes.cache });
  });

  it("of a model larger than the memory, too: it ends with 1", async () => {
    const path = join(scratch, "large");
    const layers = Math.max(LARGE.layers, Math.ceil(memoryBytes() / 1.5e9));
    const bytes = await writeSparseLlama(path, { ...LARGE, layers });
    const { code, stdout, stderr } = await kvasirFit("-m", path, "--device", "cpu", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ fits: false, bytes: { weights: bytes }, largest: { context: 0, batch: 0 } });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^kvasir: OUT_OF_MEMORY .*large takes \d+ GB; cpu has .*\n$/)]);
  });

  it("of a model whose context is too long, says which fits", async () => {
    const path = join(scratch, "long");
    await writeSparseLlama(path, { ...LARGE, layers: 2, contextLength: 2 ** 29 });
    const { code, stdout } = await kvasirFit(path, "--device", "cpu", "--json");
    const { largest, memory, bytes } = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(largest.batch).toBe(0);
    const cache = largest.context * 2 * 2 * 8 * 128 * 2;
    const rest = memory.total - bytes.weights - bytes.workspace - bytes.process;
    expect([cache <= rest, cache + 16 * 2 * 2 * 8 * 128 * 2 > rest]).toEqual([true, true]);
  });

  it("takes a name on the hub that is in the cache, and asks no hub", async () => {
    const commit = "0".repeat(40);
    const repository = join(scratch, "hub/hub/models--org--large");
    mkdirSync(join(repository, "refs"), { recursive: true });
    writeFileSync(join(repository, "refs/main"), commit);
    await writeSparseLlama(join(repository, "snapshots", commit), { ...LARGE, layers: 1 });
    const { code, stdout } = await kvasirFit("org/large", "--context", "64", "--device", "cpu", "--json");
    expect([code, JSON.parse(stdout).model]).toEqual([0, "org/large"]);
    const absent = await kvasirFit("org/absent");
    expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining("OFFLINE org/absent is a name on the hub")]);
    expect(absent.stderr).toContain("kvasir pull org/absent gets it");
  });

  it.each([
    [2, "INVALID_ARGUMENT fit needs one MODEL", []],
    [2, "INVALID_ARGUMENT fit needs one MODEL", ["tales", "-m", "tales"]],
    [2, "INVALID_ARGUMENT --batch is 0", ["tales", "--batch", "0"]],
    [2, "INVALID_ARGUMENT --context is 1.5", ["tales", "--context", "1.5"]],
    [2, 'INVALID_ARGUMENT device is "gpu"', ["tales", "--device", "gpu"]],
    [1, 'UNSUPPORTED_DEVICE device is "cuda:99"', ["tales", "--device", "cuda:99"]],
    [1, "FILE_NOT_FOUND", [join(scratch, "absent.gguf")]],
  ])("ends with %i and one line: %s", async (code, line, args) => {
    const result = await kvasirFit(...args);
    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(/^kvasir: .*\n$/) });
    expect(result.stderr).toContain(line);
  });
});
