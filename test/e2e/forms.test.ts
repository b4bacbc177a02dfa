import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { writeGguf, writeJson, writeSafetensors } from "../support/files.ts";
import { ggufModel, huggingFaceTensors, TINY, writeModel } from "../support/models.ts";
import { expectSameBits } from "../support/ops.ts";
import { writeSplitGguf } from "../support/split.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { EXACT, withEngine } from "./support/engines.ts";

/** One model's weights in all forms of files: the logits are the same, to the bit. */

const root = temporaryDirectory();
const tokens = Int32Array.from({ length: 20 }, (_, i) => (i * 7) % TINY.vocabSize);

async function logitsOf(path: string): Promise<Float32Array> {
  const { logits } = await withEngine(path, EXACT, (engine) => engine.score(tokens, { logits: true }));
  return Float32Array.from(logits!);
}

let gguf: Float32Array;
beforeAll(async () => {
  await writeGguf(join(root, "v3.gguf"), ggufModel(TINY, "F16"));
  gguf = await logitsOf(join(root, "v3.gguf"));
});

test("GGUF, version 2", async () => {
  await writeGguf(join(root, "v2.gguf"), { ...ggufModel(TINY, "F16"), version: 2 });
  expectSameBits(await logitsOf(join(root, "v2.gguf")), gguf);
});

test("a split GGUF, by each of its parts", async () => {
  for (const part of await writeSplitGguf(root, "split", ggufModel(TINY, "F16"), 3)) expectSameBits(await logitsOf(part), gguf);
});

test.each(["F32", "F16", "BF16"] as const)("safetensors in %s, one file and a sharded index", async (type) => {
  const directory = join(root, type);
  await writeModel(directory, TINY, type);
  const single = await logitsOf(directory);
  await rename(join(directory, "model.safetensors"), join(directory, "all.safetensors"));
  const all = huggingFaceTensors(TINY, type);
  const map: Record<string, string> = {};
  for (const [shard, rest] of [0, 1, 2].entries()) {
    const name = `model-0000${shard + 1}-of-00003.safetensors`;
    const tensors = all.filter((_, index) => index % 3 === rest);
    await writeSafetensors(join(directory, name), tensors);
    for (const tensor of tensors) map[tensor.name] = name;
  }
  await writeJson(join(directory, "model.safetensors.index.json"), { metadata: { total_size: 0 }, weight_map: map });
  expectSameBits(await logitsOf(directory), single);
});

test("tensors of F32, F16 and BF16 in one safetensors file", async () => {
  const types = ["F32", "F16", "BF16"] as const;
  const files = types.map((type) => huggingFaceTensors(TINY, type));
  await mkdir(join(root, "mixed"));
  await writeModel(join(root, "mixed"), TINY);
  await writeSafetensors(
    join(root, "mixed", "model.safetensors"),
    files[0]!.map((_, index) => files[index % 3]![index]!),
  );
  const [mixed, exact] = [await logitsOf(join(root, "mixed")), await logitsOf(join(root, "F32"))];
  expect(Math.max(...mixed.map((logit, i) => Math.abs(logit - exact[i]!)))).toBeLessThan(0.05);
});
