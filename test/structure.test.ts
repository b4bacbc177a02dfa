import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { PAGE_SIZE } from "../lib/api/pools.ts";
import { ERROR_CODES } from "../lib/errors.ts";
import { GGML_TYPES } from "../lib/files/gguf-types.ts";
import { TENSOR_TYPES } from "../lib/model/spec.ts";
import { MAX_TOP_LOGPROBS, native, ROW_OUTPUT } from "../lib/native/addon.ts";
import { cppFunctions, exportsOf, filesBelow, functionsOf, importsOf, read } from "./support/sources.ts";

const LIB = filesBelow("lib", ".ts");
const NATIVE = filesBelow("native", ".h", ".cc", ".cu", ".cuh");
const IMPORTS = new Map(LIB.map((path) => [path, importsOf(path)]));

/** Where C++'s SlotConfig keeps what is flat in TypeScript's. */
const BIASES = ["params", "biases"];

describe("lib", () => {
  it("has folders for all but five files", () => {
    const top = LIB.filter((path) => path.split("/").length === 2);
    expect(top).toEqual(["lib/check.ts", "lib/engine.ts", "lib/errors.ts", "lib/index.ts", "lib/tokenizer.ts"]);
    expect(LIB.filter((path) => /^lib\/text\/[^/]+$/.test(path))).toEqual([]);
  });

  it("has its tests in the same folders", () => {
    const folders = (paths: string[]) => new Set(paths.map((path) => dirname(path)));
    const own = folders(LIB);
    const tested = [...folders(filesBelow("test/lib", ".ts"))].map((path) => path.slice("test/".length));
    expect(tested.filter((path) => !own.has(path))).toEqual([]);
  });

  it("declares an exported name once", () => {
    const files = new Map<string, string[]>();
    for (const path of LIB) for (const name of exportsOf(path)) files.set(name, [...(files.get(name) ?? []), path]);
    expect(files.size).toBeGreaterThan(150);
    expect([...files].filter(([, paths]) => paths.length > 1)).toEqual([]);
  });

  it("has no import cycle, not even of types", () => {
    const own = [...IMPORTS.values()].flat().filter((path) => path.endsWith(".ts"));
    expect(own.length).toBeGreaterThan(100);
    expect(own.filter((path) => !LIB.includes(path))).toEqual([]);
    expect(firstCycle()).toEqual([]);
  });

  it("loads the addon in addon.ts alone", () => {
    const loads = (path: string) => /node-gyp-build|\.node["'`]/.test(read(path).replaceAll("@fugood/llama.node", ""));
    const loaders = [...LIB, ...filesBelow("bench", ".ts", ".mjs")].filter(loads);
    // Benchmarks of single ops load the tests' addon.
    expect(loaders.sort()).toEqual(["bench/gpu/sample.mjs", "bench/ops/run.mjs", "lib/native/addon.ts"]);
  });

  it("schedules without native code, files, text or a clock", () => {
    const schedule = LIB.filter((path) => path.startsWith("lib/schedule/"));
    const reached = [...new Set(schedule.flatMap(reachable))].filter((path) => !path.startsWith("lib/schedule/")).sort();
    expect(reached.filter((path) => !["lib/check.ts", "lib/errors.ts", "node:crypto", "node:util"].includes(path))).toEqual([]);
    for (const path of schedule) expect(read(path), path).not.toMatch(/performance\.|Date\.|setTimeout|await /);
  });
});

describe("the scheduler's tests", () => {
  it("run without the addon", () => {
    const tests = filesBelow("test/lib/schedule", ".test.ts");
    expect(tests.length).toBeGreaterThan(0);
    expect(tests.filter((path) => reachable(path).includes("lib/native/addon.ts"))).toEqual([]);
  });
});

describe("native", () => {
  it("includes Node's headers in addon/ alone, and in testing/, which is not shipped", () => {
    const users = NATIVE.filter((path) => /#include\s*[<"](napi|node_api|js_native_api|uv|v8|node)\.h/.test(read(path)));
    expect(users.filter((path) => !/^native\/(addon|testing)\//.test(path))).toEqual([]);
  });

  it("has no arrow back: addon -> engine -> model -> ops <- cpu, cuda -> tensor, quant", () => {
    const allowed: Record<string, string[]> = {
      addon: ["addon", "engine", "ops", "tensor"],
      engine: ["engine", "model", "ops", "tensor"],
      model: ["model", "ops", "tensor"],
      cpu: ["cpu", "ops", "quant", "tensor"],
      cuda: ["cuda", "ops", "quant", "tensor"],
      ops: ["ops", "tensor"],
      quant: ["quant", "tensor"],
      tensor: ["tensor"],
      testing: ["testing", "addon", "engine", "ops", "cpu", "cuda", "quant", "tensor"],
    };
    const wrong = NATIVE.flatMap((path) => {
      const included = [...read(path).matchAll(/#include "((\w+)\/[^"]+)"/g)];
      return included.filter(([, , folder]) => !allowed[path.split("/")[1]!]!.includes(folder!)).map(([, file]) => `${path} -> ${file}`);
    });
    // The one place that chooses a back end, and what the processor can run.
    expect(wrong.sort()).toEqual([
      "native/addon/backends.cc -> cpu/cpu_backend.h",
      "native/addon/backends.cc -> cuda/cuda_backend.h",
      "native/addon/exports.cc -> cpu/kernels.h",
    ]);
  });

  it("exports what addon.ts declares, and little", () => {
    const declared = [...interfaceBody("lib/native/addon.ts", "NativeModule").matchAll(/^ {2}(\w+)[(:]/gm)].map(([, name]) => name!);
    expect(Object.keys(native()).sort()).toEqual(declared.sort());
    expect(declared).toEqual(["Engine", "gpuCount", "gpuFreeBytes", "isas"]);
    const methods = [...interfaceBody("lib/native/addon.ts", "NativeEngine").matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name!);
    expect(Object.getOwnPropertyNames(native().Engine.prototype).sort()).toEqual([...methods, "constructor"].sort());
  });
});

describe("an op has one name", () => {
  const variant = /using Op = std::variant<([^>]*)>/.exec(read("native/ops/op.h"))![1]!;
  const ops = variant.split(",").map((name) => snakeCase(name.trim()));
  const bench = read("bench/ops/run.mjs");

  it("those of the variant, and sample, of the slots", () => {
    const headers = filesBelow("native/ops", ".h").map((path) => path.slice("native/ops/".length, -2));
    const shared = ["backend", "kv_cache", "padded_steps", "memory", "op", "step"];
    expect(headers.filter((name) => !shared.includes(name)).sort()).toEqual([...ops, "sample"].sort());
  });

  it.each([...ops, "sample"])("%s: contract, CPU, test, benchmark", (name) => {
    expect(filesBelow("native/ops", ".h")).toContain(`native/ops/${name}.h`);
    expect(NATIVE).toContain(name === "sample" ? "native/cpu/sample.cc" : `native/cpu/kernels/${name}.cc`);
    expect(filesBelow("test/ops", ".test.ts")).toContain(`test/ops/${name}.test.ts`);
    expect(bench).toMatch(new RegExp(`["\`]${name} `));
  });
});

describe("functions", () => {
  it.each([
    ["TypeScript", [...LIB, ...filesBelow("bench", ".ts")]],
    ["C++", NATIVE],
  ])("are short in %s: 95 % below 60 lines", (_, files) => {
    const functions = files.flatMap((path) => functionsOf(path).map(({ name, lines }) => ({ name: `${path}: ${name}`, lines })));
    functions.sort((a, b) => a.lines - b.lines);
    expect(functions.length).toBeGreaterThan(100);
    expect(functions[Math.ceil(functions.length * 0.95) - 1]!.lines, JSON.stringify(functions.slice(-5))).toBeLessThan(60);
  });

  it("are found by their braces in C++", () => {
    const text = `#include <a>\nnamespace n {\nclass A : public B {\n public:\n  A() : b_(1) {}\n  int get() const { return b_; }\n};\n
      // not { this }\nstatic constexpr int t[] = {1, 2};\ntemplate <class T, class = U<T>>\nvoid A::run(\n  int x) {\n  if (x) { "}"; }\n}\n}`;
    expect(cppFunctions(text).map(({ name, lines }) => [name, lines])).toEqual([
      ["A", 1],
      ["get", 1],
      ["A::run", 5],
    ]);
  });
});

describe("both languages agree on", () => {
  it("error codes", () => {
    const table = [...read("lib/errors.ts").matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, code]) => code);
    expect(table).toEqual([...ERROR_CODES]);
    const thrown = NATIVE.flatMap((path) =>
      [...read(path).matchAll(/(?:\bfail\(|\bError\(|return \{|Failure\{)"([A-Z_]+)"/g)].map(([, code]) => code!),
    );
    expect(thrown.length).toBeGreaterThan(50);
    expect([...new Set(thrown)].filter((code) => !(ERROR_CODES as readonly string[]).includes(code))).toEqual([]);
  });

  it("tensor types", () => {
    const table = /kDTypes\[\] = \{(.*?)\};/s.exec(read("native/tensor/dtype.h"))![1]!;
    const rows = [...table.matchAll(/\{"(\w+)",\s*(\d+),\s*(\d+)\}/g)].map(([, name, block, bytes]) => [
      name,
      { block: Number(block), bytes: Number(bytes) },
    ]);
    expect(rows).toEqual(Object.entries(TENSOR_TYPES));
    const gguf = [...GGML_TYPES.values()].filter(({ name }) => name in TENSOR_TYPES);
    const { F8_E4M3, ...types } = TENSOR_TYPES; // safetensors alone have it
    expect(Object.fromEntries(gguf.map(({ name, block, bytes }) => [name, { block, bytes }]))).toEqual(types);
    const names = /enum class DType[^{]*\{([^}]*)\}/.exec(read("native/tensor/dtype.h"))![1]!.split(",");
    expect(names.map((name) => name.trim())).toEqual(Object.keys(TENSOR_TYPES));
  });

  it("numbers", () => {
    const step = read("native/ops/step.h");
    expect(Number(/kMaxTopLogprobs = (\d+)/.exec(step)![1])).toBe(MAX_TOP_LOGPROBS);
    const outputs = [...step.match(/enum class RowOutput[^}]*\}/)![0].matchAll(/(\w+) = (\d+)/g)];
    expect(Object.fromEntries(outputs.map(([, name, value]) => [name!.toLowerCase(), Number(value)]))).toEqual({ ...ROW_OUTPUT, draft: 4 });
    expect(PAGE_SIZE % 16).toBe(0);
  });

  it.each([
    // TypeScript and C++, with the fields that the other lacks.
    ["lib/native/addon.ts", ["StepBuffers", "StepResults"], "native/ops/step.h", ["Batch", "StepResult"], [], []],
    ["lib/native/addon.ts", ["StepDrafts"], "native/ops/step.h", ["Drafts"], [], []],
    ["lib/native/addon.ts", ["SlotConfig"], "native/ops/sample.h", ["SampleParams", "SlotConfig"], ["biasTokens", "biasValues"], BIASES],
    ["lib/native/addon.ts", ["NativeConfig"], "native/model/spec.h native/engine/config.h", ["ModelConfig", "EngineConfig"], [], []],
    ["lib/native/addon.ts", ["CpuDevice", "CudaDevice"], "native/engine/config.h", ["DeviceConfig"], [], []],
    ["lib/model/spec.ts", ["ModelSpec"], "native/model/spec.h", ["ModelSpec"], ["architecture", "contextLength"], []],
    ["lib/model/spec.ts", ["LayerSpec"], "native/model/spec.h", ["LayerSpec"], [], []],
    ["lib/model/mixers/attention.ts", ["AttentionSpec"], "native/model/spec.h", ["AttentionSpec"], ["kind"], []],
    ["lib/model/feed-forwards/gated.ts", ["GatedSpec"], "native/model/spec.h", ["GatedSpec"], ["kind"], []],
    ["lib/model/feed-forwards/plain.ts", ["PlainSpec"], "native/model/spec.h", ["PlainSpec"], ["kind"], []],
    ["lib/model/spec.ts", ["NormSpec"], "native/ops/add_norm.h", ["Norm"], [], []],
    ["lib/model/spec.ts", ["CacheGroup"], "native/model/spec.h", ["CacheGroup"], [], []],
    ["lib/model/kinds.ts", ["CachePart"], "native/model/spec.h", ["CachePart"], [], []],
    ["lib/model/spec.ts", ["RopeSpec"], "native/model/spec.h", ["RopeSpec"], ["long"], []],
    ["lib/model/spec.ts", ["TensorRow"], "native/model/spec.h", ["TensorRow"], [], []],
  ])("%s: %s and %s: %s", (tsFile, interfaces, cppFiles, structs, onlyTs: readonly string[], onlyCpp: readonly string[]) => {
    const fields = interfaces.flatMap((name) => [...interfaceBody(tsFile, name).matchAll(/^ {2}(\w+)\??:/gm)].map(([, field]) => field!));
    const bodies = structs.map((name) => structBody(cppFiles.split(" "), name)).join("\n");
    const members = [...bodies.matchAll(/^ {2}[\w:<>]+(?: [\w:<>]+)* (\w+)(?: = [^;]+)?;/gm)].map(([, name]) => name!);
    const twins = fields.filter((name) => !onlyTs.includes(name)).map(snakeCase);
    expect(twins.length).toBeGreaterThan(1);
    expect(members.filter((name) => !onlyCpp.includes(name)).sort()).toEqual([...new Set(twins)].sort()); // alternatives share their kind
  });
});

function firstCycle(): string[] {
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): string[] => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return [];
    for (const next of IMPORTS.get(path) ?? []) {
      const cycle = visit(next, [...trail, path]);
      if (cycle.length > 0) return cycle;
    }
    done.add(path);
    return [];
  };
  return LIB.map((path) => visit(path, [])).find((cycle) => cycle.length > 0) ?? [];
}

function reachable(from: string): string[] {
  const seen = new Set<string>([from]);
  for (const path of seen) for (const next of path.endsWith(".ts") ? importsOf(path) : []) seen.add(next);
  return [...seen];
}

function interfaceBody(path: string, name: string): string {
  return new RegExp(`interface ${name}(?: extends \\w+)? \\{\n(.*?)\n\\}`, "s").exec(read(path))![1]!;
}

function structBody(paths: readonly string[], name: string): string {
  return new RegExp(`struct ${name}(?: : \\w+)? \\{\n(.*?)\n\\};`, "s").exec(paths.map(read).join("\n"))![1]!;
}

/** `qIndptr`, `AddNorm`: `q_indptr`, `add_norm`. */
function snakeCase(name: string): string {
  return name.replace(/(?<=.)[A-Z]/g, "_$&").toLowerCase();
}
