import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openCached } from "../../../../lib/cli/cached.ts";
import { checkCache } from "../../../../lib/cli/doctor/cache.ts";
import { examine } from "../../../../lib/cli/doctor/doctor.ts";
import { type Finding, showFindings } from "../../../../lib/cli/doctor/finding.ts";
import { checkDevice, checkGpu } from "../../../../lib/cli/doctor/gpu.ts";
import { checkMemory } from "../../../../lib/cli/doctor/memory.ts";
import { checkNode } from "../../../../lib/cli/doctor/process.ts";
import { checkProcessor } from "../../../../lib/cli/doctor/processor.ts";
import { type System, thisSystem } from "../../../../lib/cli/doctor/system.ts";
import { KvasirError } from "../../../../lib/errors.ts";
import { addonPath, type NativeModule, native } from "../../../../lib/native/addon.ts";
import { whyMissing } from "../../../../lib/package/missing.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const scratch = temporaryDirectory();
const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const MAIN = join(ROOT, "dist/cli/main.js");

/** A machine with plenty of everything but a GPU. */
const well: System = {
  ...thisSystem(),
  platform: "linux-x64",
  memory: { machine: 64e9, container: 64e9, available: 60e9 },
  nvidia: { driver: undefined, gpus: [] },
  env: { HF_HOME: scratch },
  freeBytes: async () => 5e11,
};

/** The addon with other GPUs and instruction sets; what it says of `cuda` is `refusal`. */
function addonWith(changes: Partial<NativeModule>, refusal?: string): System["loadAddon"] {
  class Refusing {
    constructor() {
      throw Object.assign(new Error(refusal), { code: "UNSUPPORTED_DEVICE" });
    }
  }
  const Engine = refusal === undefined ? native().Engine : (Refusing as unknown as NativeModule["Engine"]);
  return () => ({
    module: { isas: native().isas, gpuCount: () => 0, gpuFreeBytes: () => undefined, ...changes, Engine },
    path: "kvasir.node",
  });
}

const probe = await openCached("tales");

const CHECKS = {
  node: checkNode,
  processor: (system: System) => checkProcessor(system, system.loadAddon().module),
  gpu: (system: System) => checkGpu(system, system.loadAddon().module, probe),
  device: (system: System) => checkDevice(system.loadAddon().module),
  memory: checkMemory,
  hub: checkCache,
};

async function finding(name: keyof typeof CHECKS, changes: Partial<System>): Promise<Finding> {
  const found = await CHECKS[name]({ ...well, ...changes });
  expect(found.name).toBe(name);
  return found;
}

describe("doctor", () => {
  it("finds nothing wrong where all is well", async () => {
    const findings = await examine(well);
    expect(findings.map(({ name }) => name)).toEqual(["node", "addon", "processor", "gpu", "device", "memory", "hub", "trial"]);
    expect(findings.filter(({ state }) => state === "failure")).toEqual([]);
    expect(findings.find(({ name }) => name === "trial")).toMatchObject({ state: "ok", facts: { device: expect.any(String), tokens: 8 } });
  });

  it("without the addon looks at what is left; why it is missing says what helps, and nothing else does", async () => {
    const message = whyMissing({ platform: "linux", arch: "x64", glibc: undefined }, "No native build was found");
    const loadAddon = () => {
      throw new KvasirError("ADDON_MISSING", message);
    };
    const findings = await examine({ ...well, loadAddon });
    expect(findings.map(({ name, state }) => [name, state])).toEqual([
      ["node", "ok"],
      ["addon", "failure"],
      ["memory", "ok"],
      ["hub", "ok"],
    ]);
    expect(findings[1]).toEqual({ name: "addon", state: "failure", text: message, code: "ADDON_MISSING", facts: {} });
  });

  it("says what the processor lacks", async () => {
    const flags = new Set(["avx", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm"]);
    const parallelism = { machine: 4, allowed: 4, cores: 2, quota: undefined };
    const processor = { name: "Old", parallelism, flags };
    const portable = await finding("processor", { processor, loadAddon: addonWith({ isas: () => ["portable"] }) });
    expect(portable).toMatchObject({ state: "warning", cure: expect.stringContaining("AVX2"), facts: { used: "portable" } });
    expect(portable.text).toBe(
      "Old, 4 threads; uses portable: it lacks avx2, avx512f, avx512bw, avx512cd, avx512dq, avx512vl, avx512_vnni, avx512_bf16, amx_tile, amx_int8, amx_bf16",
    );
    const avx2 = { ...processor, flags: new Set([...flags, "avx2", "avx512f"]) };
    const wide = await finding("processor", { processor: avx2, loadAddon: addonWith({ isas: () => ["portable", "avx2"] }) });
    expect([wide.state, wide.text.startsWith("Old, 4 threads; uses avx2: it lacks avx512bw")]).toEqual(["ok", true]);
  });

  it.each([
    [{ machine: 16, allowed: 16, cores: 8, quota: undefined }, "16 threads", 16, 8],
    [{ machine: 16, allowed: 4, cores: 4, quota: 8 }, "4 of 16 threads (affinity allows 4)", 4, 4],
    [{ machine: 16, allowed: 16, cores: 16, quota: 1.25 }, "2 of 16 threads (the control group 1.25)", 2, 2],
    [{ machine: 16, allowed: 12, cores: 12, quota: 0.1 }, "1 of 16 threads (affinity allows 12, the control group 0.1)", 1, 1],
  ])("says how many threads may run, and why: %o", async (parallelism, text, threads, usualThreads) => {
    const found = await finding("processor", { processor: { ...well.processor, parallelism } });
    expect(found.text).toContain(`, ${text}; uses `);
    expect(found.facts).toMatchObject({ threads, usualThreads, parallelism });
  });

  describe("a GPU", () => {
    const nvidia = { driver: "580.65", gpus: ["NVIDIA H100"] };
    const noCuda = "device is cuda:0, which this build of kvasir does not have; expected cpu";

    it.each([
      ["no driver, no CUDA", {}, addonWith({}, noCuda), "ok", "no NVIDIA driver; this build has no CUDA", undefined],
      [
        "a driver, no CUDA",
        { nvidia },
        addonWith({}, noCuda),
        "warning",
        "580.65 (NVIDIA H100); this build has no CUDA",
        "npm run build:cuda",
      ],
      ["CUDA, no driver", {}, addonWith({}, "no CUDA device can be used"), "ok", "no NVIDIA driver; this build would use it", undefined],
      ["CUDA, no GPU", { nvidia }, addonWith({}, "no CUDA device can be used"), "warning", "but no CUDA device can be used", "--gpus all"],
      ["both", { nvidia }, addonWith({ gpuCount: () => 1, gpuFreeBytes: () => 8e10 }), "ok", "cuda:0 80.0 GB free", undefined],
      ["another architecture", { nvidia }, addonWith({ gpuCount: () => 1 }), "warning", "cuda:0 not for this build", "npm run build:cuda"],
    ])("%s", async (_, changes, loadAddon, state, text, cure) => {
      const found = await finding("gpu", { ...changes, loadAddon });
      expect(found).toMatchObject({ state, text: expect.stringContaining(text) });
      expect(found.cure ?? "").toContain(cure ?? "");
      expect(found.cure === undefined).toBe(cure === undefined);
    });

    it("the addon of this build says whether it has CUDA in the words that are looked for", async () => {
      const { facts } = await finding("gpu", {});
      expect(facts.builtWithCuda).toBe(readFileSync(addonPath()).includes("nv_fatbin"));
    });

    it("without the bundled model it can't be asked why: nothing is made up", async () => {
      const system = { ...well, loadAddon: addonWith({}, noCuda) };
      const found = await checkGpu(system, system.loadAddon().module, undefined);
      expect(found).toMatchObject({ state: "ok", text: "no NVIDIA driver; the addon uses no GPU", facts: { builtWithCuda: undefined } });
      expect(found).not.toHaveProperty("cure");
    });

    it("is what auto takes, for models that fit", async () => {
      const loadAddon = addonWith({ gpuCount: () => 2, gpuFreeBytes: (index) => [1e9, 1e10][index] });
      const { text, facts } = await finding("device", { loadAddon });
      expect(text).toBe('"auto" takes cuda:1 for weights up to 7.85 GB, else the next GPU with room or the CPU');
      expect(facts).toEqual({ auto: { kind: "cuda", index: 1 }, weightBytes: 1e10 - 2 ** 31 });
      expect((await finding("device", {})).text).toContain('"auto" takes cpu, ');
      const full = addonWith({ gpuCount: () => 1, gpuFreeBytes: () => 1e9 });
      expect((await finding("device", { loadAddon: full })).text).toContain("no GPU has room");
    });
  });

  it("counts the container's memory, and says what fits", async () => {
    const found = await finding("memory", { memory: { machine: 64e9, container: 8e9, available: 7e9 } });
    expect(found.text).toBe(
      "8.00 GB for this container, of 64.0 GB, 7.00 GB available; fits models up to 11 B at q4, 5.6 B at q8, 3.0 B at bf16",
    );
    const little = await finding("memory", { memory: { machine: 64e9, container: 8e9, available: 1e8 } });
    expect([little.state, little.cure]).toEqual(["warning", expect.stringContaining("raise the container's limit")]);
  });

  it("looks at the hub's settings and cache", async () => {
    const inside = join(scratch, "a", "b");
    expect(await finding("hub", { env: { HF_HOME: inside, HF_TOKEN: "secret" } })).toMatchObject({
      state: "ok",
      text: expect.stringMatching(/hub: .* free; from https:\/\/huggingface\.co with a token$/),
      facts: { cache: join(inside, "hub"), writable: true, hasToken: true },
    });
    expect(JSON.stringify(await finding("hub", { env: { HF_HOME: inside, HF_TOKEN: "secret" } }))).not.toContain("secret");
    const wrong = await finding("hub", { env: { HF_HOME: inside, HF_ENDPOINT: "nowhere" } });
    expect([wrong.state, wrong.text, wrong.cure]).toEqual([
      "warning",
      expect.stringContaining('HF_ENDPOINT is "nowhere"'),
      expect.stringContaining("unset it"),
    ]);
  });

  it("a cache on a disk that doesn't say how much is free, or has little", async () => {
    const freeBytes = () => Promise.reject(Object.assign(new Error("ESTALE: stale file handle, statfs"), { code: "ESTALE" }));
    const found = await finding("hub", { freeBytes });
    expect(found).toMatchObject({
      state: "ok",
      text: expect.stringMatching(/hub: unknown room free; from https/),
      facts: { freeBytes: undefined },
    });
    const little = await finding("hub", { freeBytes: async () => 1e9 });
    expect([little.state, little.cure]).toEqual(["warning", expect.stringContaining("free some room")]);
  });

  it.skipIf(process.getuid?.() === 0)("a cache that can't be written", async () => {
    const closed = join(scratch, "closed");
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    const found = await finding("hub", { env: { HF_HOME: closed } });
    expect([found.state, found.cure]).toEqual(["warning", expect.stringContaining("set HF_HOME")]);
  });

  it("shows a line for each, and a cure below what is wrong", () => {
    const shown = showFindings([
      { name: "node", state: "ok", text: "fine", facts: {} },
      { name: "addon", state: "failure", text: "absent", cure: "build it", facts: {} },
    ]);
    expect(shown).toBe("ok       node   fine\nFAILED   addon  absent\n                -> build it\n");
  });
});

describe("kvasir doctor", () => {
  const doctor = (...args: string[]) => doctorOf(MAIN, ...args);
  const doctorOf = (main: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [main, "doctor", ...args], (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });

  it("ends with 0 where kvasir runs; --json has the figures", async () => {
    const [plain, json] = await Promise.all([doctor(), doctor("--json")]);
    expect([plain.code, plain.stderr, json.code]).toEqual([0, "", 0]);
    expect(plain.stdout.split("\n").filter((line) => /^(ok|warning)/.test(line)).length).toBe(8);
    const { ok, findings } = JSON.parse(json.stdout);
    expect([ok, findings.length]).toEqual([true, 8]);
  });

  it("ends with 1 where the addon is missing, with all that it found out", async () => {
    const copy = join(scratch, "copy");
    cpSync(join(ROOT, "dist"), join(copy, "dist"), { recursive: true });
    for (const name of ["package.json", "node_modules"]) symlinkSync(join(ROOT, name), join(copy, name));
    const { code, stdout, stderr } = await doctorOf(join(copy, "dist/cli/main.js"));
    expect([code, stdout.split("\n").length]).toEqual([1, 5]);
    expect(stdout).toMatch(/^FAILED {3}addon {3}kvasir's native addon can't be loaded .* npm run setup builds it/m);
    expect(stderr).toMatch(/^kvasir: ADDON_MISSING kvasir does not run here: addon: .*\n$/);
  });

  it("takes no words", async () =>
    expect((await doctor("me")).stderr).toBe("kvasir: INVALID_ARGUMENT doctor takes no me; expected nothing\n"));
});
