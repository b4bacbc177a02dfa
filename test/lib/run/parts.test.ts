import { mkdirSync, rmdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Machine } from "../../../lib/api/device.ts";
import { Engine } from "../../../lib/engine.ts";
import type { KvasirWarning } from "../../../lib/errors.ts";
import type { NativeConfig, NativeModule } from "../../../lib/native/addon.ts";
import { openParts } from "../../../lib/run/parts.ts";
import { Tokenizer } from "../../../lib/tokenizer.ts";
import { ANY_THREADS } from "../../support/any-threads.ts";
import { expectError } from "../../support/expect.ts";
import { FakeNative } from "../../support/fake-native.ts";
import { writeJson } from "../../support/files.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { byteLevelJson } from "../../support/tokenizer-json.ts";

const directory = temporaryDirectory();
await writeModel(directory, TINY);

/** The addon with the fake engine, the last of which is kept to look at. */
function fakeModule(): { module: NativeModule & Machine; last: () => FakeNative } {
  let last: FakeNative | undefined;
  class FakeEngine extends FakeNative {
    constructor(config: NativeConfig) {
      super(config, { vocabSize: config.spec.vocabSize });
      last = this;
    }
  }
  return {
    module: { Engine: FakeEngine, isas: () => ["portable", "avx2"], gpuCount: () => 0, gpuFreeBytes: () => undefined, ...ANY_THREADS },
    last: () => last!,
  };
}

test("relative paths mean what they mean at the call, wherever the process goes then", async () => {
  const before = process.cwd();
  const other = temporaryDirectory();
  for (const name of ["model", "draft"]) for (const place of [directory, other]) await writeModel(join(place, name), TINY);
  try {
    process.chdir(directory);
    const opening = openParts("model", { speculate: { draft: "./draft" } }, fakeModule().module);
    process.chdir(other);
    const { source, draft } = await opening;
    expect([source, draft].flatMap((model) => model!.files.map(({ path }) => path))).toEqual(
      ["model", "draft"].map((name) => join(directory, name, "model.safetensors")),
    );
  } finally {
    process.chdir(before);
  }
});

test("a working directory that is gone has no models, and keeps none elsewhere from opening", async () => {
  const before = process.cwd();
  const gone = join(directory, "gone");
  mkdirSync(gone);
  try {
    process.chdir(gone);
    rmdirSync(gone);
    await expectError(openParts("./model", {}, fakeModule().module), "FILE_NOT_FOUND", "./model does not exist");
    expect((await openParts(directory, {}, fakeModule().module)).source.files).toHaveLength(1);
  } finally {
    process.chdir(before);
  }
});

test("a model is opened with what the options say, and progress is told", async () => {
  const { module, last } = fakeModule();
  const progress: object[] = [];
  const parts = await openParts(directory, { threads: 3, isa: "portable", kvType: "f32", onProgress: (p) => progress.push(p) }, module);
  expect(last().config).toMatchObject({
    device: { kind: "cpu", isa: "portable", threads: 3 },
    kvType: "f32",
    compute: "f32",
    pageSize: 16,
    maxContext: TINY.contextLength,
  });
  expect(last().config.tensors.length).toBeGreaterThan(10);
  expect(progress).toEqual([
    { phase: "load", loadedBytes: 50, totalBytes: 100 },
    { phase: "load", loadedBytes: 100, totalBytes: 100 },
  ]);
  expect(parts).toMatchObject({ tokenizer: undefined, chat: undefined });
});

test("a signal ends loading with its reason, and frees what was loaded", async () => {
  const { module, last } = fakeModule();
  const controller = new AbortController();
  const opening = openParts(directory, { signal: controller.signal, onProgress: () => controller.abort("enough") }, module);
  await expect(opening).rejects.toBe("enough");
  await expect(last().load(() => {})).rejects.toMatchObject({ code: "CLOSED" });
  await expect(openParts(directory, { signal: AbortSignal.abort("never") }, module)).rejects.toBe("never");
});

// The thread that reads such a file would tell what is wrong with it.
test.each(["config.json", "tokenizer_config.json"])("a signal doesn't wait for the thread that reads a long %s", async (name) => {
  const long = join(directory, `long-${name}`);
  await writeModel(long, TINY);
  await writeFile(join(long, name), `{ "a": "${"x".repeat(100_000)}", `);
  const controller = new AbortController();
  const openings = [
    openParts(long, { signal: controller.signal }, fakeModule().module),
    Tokenizer.open(long, { signal: controller.signal }),
  ].map((opening) => expect(opening).rejects.toBe("enough"));
  await Promise.resolve();
  controller.abort("enough");
  await Promise.all(openings);
});

// Its worker would take its time, and tell what is wrong with the file.
test("a signal doesn't wait for the tokenizer, either", async () => {
  const slow = join(directory, "slow");
  await writeModel(slow, TINY);
  await writeFile(join(slow, "tokenizer.json"), `\ufeff${JSON.stringify(byteLevelJson())}`);
  const warnings: KvasirWarning[] = [];
  const controller = new AbortController();
  const common = { signal: controller.signal, onWarning: (warning: KvasirWarning) => warnings.push(warning) };
  const { module } = fakeModule();
  await expect(openParts(slow, { ...common, onProgress: () => controller.abort("enough") }, module)).rejects.toBe("enough");
  expect(warnings).toEqual([]);
});

test("what onProgress throws ends loading, too", async () => {
  const { module } = fakeModule();
  const mine = new Error("mine");
  const onProgress = (): void => {
    throw mine;
  };
  await expect(openParts(directory, { onProgress }, module)).rejects.toBe(mine);
});

test("warnings go to onWarning; what it throws ends opening", async () => {
  const { module } = fakeModule();
  const warned = join(directory, "warned");
  await writeModel(warned, TINY);
  await writeJson(join(warned, "generation_config.json"), { eos_token_id: [2, 99], top_k: -1 });
  const warnings: KvasirWarning[] = [];
  const { source, native } = await openParts(warned, { onWarning: (warning) => warnings.push(warning) }, module);
  expect(source).toMatchObject({ endTokens: [2], defaults: { topK: 0 } });
  expect(warnings.map(({ code }) => code)).toEqual(["KVASIR_SETTING_IGNORED", "KVASIR_SETTING_IGNORED"]);
  await native.close();
  const stop = (): never => {
    throw new Error("stop");
  };
  await expect(openParts(warned, { onWarning: stop }, module)).rejects.toThrow("stop");
  await expectError(openParts(warned, { onWarning: 5 as never }, module), "INVALID_ARGUMENT", "onWarning");
});

test("paths and options that are wrong are typed errors", async () => {
  const { module } = fakeModule();
  await expectError(openParts("/nowhere/model.gguf", {}, module), "FILE_NOT_FOUND", "/nowhere/model.gguf");
  await expectError(openParts(5 as never, {}, module), "INVALID_ARGUMENT", "model");
  await expectError(openParts(directory, { threads: -1 }, module), "INVALID_ARGUMENT", "threads");
  await expectError(openParts(directory, { device: "cuda:one" as never }, module), "INVALID_ARGUMENT", "cuda:one");
  expect(Engine.open).toBeTypeOf("function");
});

test("an error of the addon keeps its code", async () => {
  const { module } = fakeModule();
  class Failing extends module.Engine {
    override load(): Promise<never> {
      return Promise.reject(Object.assign(new Error("no memory"), { code: "OUT_OF_MEMORY" }));
    }
  }
  await expectError(openParts(directory, {}, { ...module, Engine: Failing }), "OUT_OF_MEMORY", "no memory");
});
