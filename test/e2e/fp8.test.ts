import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../lib/api/options.ts";
import { bytesOfWeights } from "../../lib/model/manifest.ts";
import { openModel } from "../../lib/model/open.ts";
import { expectError } from "../support/expect.ts";
import { type TensorInput, writeSafetensors } from "../support/files.ts";
import { FP8_DIALECTS, type Fp8Model, writeFp8Model } from "../support/fp8.ts";
import { type ModelShape, TINY } from "../support/models.ts";
import { expectSameBits } from "../support/ops.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { EXACT, ISAS, open, withEngine } from "./support/engines.ts";

/** Weights in F8_E4M3: each is its element times its scale, rounded to float32. So a model has the bits of one whose weights are these numbers. */

/** Rows and columns that blocks of 128 don't divide. */
const LLAMA: ModelShape = { ...TINY, hiddenSize: 192, headSize: 32, feedForwardSize: 320, vocabSize: 96, bias: true };
const QWEN3: ModelShape = { ...LLAMA, architecture: "qwen3", bias: false };

const root = temporaryDirectory();
const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % LLAMA.vocabSize);

async function logitsOf(path: string, options: EngineOptions): Promise<Float32Array> {
  const { logits } = await withEngine(path, options, (engine) => engine.score(tokens, { logits: true }));
  return Float32Array.from(logits!);
}

/** A GPU multiplies weights in bfloat16 where compute is bf16. */
async function expectDequantized({ quantized, f32, bf16 }: Fp8Model): Promise<void> {
  const isGpu = process.env.KVASIR_TEST_DEVICE === "cuda";
  for (const isa of ISAS)
    for (const compute of isGpu ? (["f32", "bf16"] as const) : (["f32", "bf16", "int8"] as const)) {
      const options: EngineOptions = { ...EXACT, compute, ...(!isGpu && { isa }) };
      const logits = await logitsOf(quantized, options);
      expectSameBits(logits, await logitsOf(isGpu && compute === "bf16" ? bf16 : f32, options));
      expectSameBits(logits, await logitsOf(quantized, { ...options, maxBatchTokens: 17 }));
    }
}

describe("float8 weights of Hugging Face files", () => {
  test.each(Object.entries(FP8_DIALECTS))("%s: qwen3 and llama", async (name, dialect) => {
    for (const shape of [QWEN3, LLAMA])
      await expectDequantized(await writeFp8Model(join(root, shape.architecture, name.replaceAll(/\W+/g, "-")), shape, dialect));
  });

  test.each(Object.entries(FP8_DIALECTS))("%s: several matrices in one", async (name, dialect) => {
    await expectDequantized(
      await writeFp8Model(join(root, "phi3", name.replaceAll(/\W+/g, "-")), { ...LLAMA, bias: false }, dialect, { phi3: true }),
    );
  });

  test("take what memory is reckoned with; auto multiplies them with x in float32 or bfloat16", async () => {
    const { quantized } = await writeFp8Model(join(root, "sizes"), QWEN3, FP8_DIALECTS["fp8, blocks with scales in F32"]!);
    const source = await openModel(quantized);
    const { weightBytes, compute } = await withEngine(quantized, {}, async (engine) => engine.stats());
    expect(compute).not.toBe("int8");
    expect(weightBytes / bytesOfWeights(source)).toBeCloseTo(1, 1);
    const linear = source.tensors.filter(({ type }) => type === "F8_E4M3");
    expect(linear).toHaveLength(7 * QWEN3.layers);
    const [elements, ...rest] = linear.map(({ shape }) => shape[0]! * shape[1]!);
    expect(bytesOfWeights({ tensors: linear })).toBe((rest.reduce((sum, count) => sum + count, elements!) / 64) * 68);
  });

  test("NaN, and scales that make elements infinite, are refused by file, tensor and place", async () => {
    const { quantized, tensors } = await writeFp8Model(join(root, "nan"), QWEN3, FP8_DIALECTS["fp8, blocks with scales in F32"]!);
    const refused = async (name: string, spoil: (data: DataView) => void, ...words: string[]): Promise<void> => {
      const data = new Uint8Array(tensors.find((tensor) => tensor.name === name)!.data!);
      spoil(new DataView(data.buffer));
      const spoiled = tensors.map((tensor): TensorInput => (tensor.name === name ? { ...tensor, data } : tensor));
      await writeSafetensors(join(quantized, "model.safetensors"), spoiled);
      await expectError(open(quantized), "FILE_INVALID", join(quantized, "model.safetensors: "), ...words);
    };
    const name = "model.layers.1.self_attn.k_proj.weight";
    await refused(name, (data) => data.setUint8(3 * 192 + 5, 0x7f), `"${name}" has a NaN in row 3;`);
    await refused(name, (data) => data.setUint8(63 * 192 + 191, 0xff), `"${name}" has a NaN in row 63;`);
    const scales = `${name}_scale_inv`;
    await refused(scales, (data) => data.setFloat32(4, Number.NaN, true), `"${scales}" has nan in row 0, column 1; expected`);
    await refused(scales, (data) => data.setFloat32(0, 1e36, true), `"${scales}" has 1e+36 in row 0, column 0; expected`, "times 448");
  });

  test("NaN in a part of a matrix is told by the file's row", async () => {
    const dialect = FP8_DIALECTS["fp8, blocks with scales in F32"]!;
    const { quantized, tensors } = await writeFp8Model(join(root, "nan-phi3"), { ...LLAMA, bias: false }, dialect, { phi3: true });
    const name = "model.layers.0.self_attn.qkv_proj.weight";
    const row = LLAMA.queryHeads * LLAMA.headSize + 3; // of k
    const spoiled = tensors.map((tensor): TensorInput => {
      const data = new Uint8Array(tensor.data!);
      if (tensor.name === name) data[row * 192 + 7] = 0x7f;
      return { ...tensor, data };
    });
    await writeSafetensors(join(quantized, "model.safetensors"), spoiled);
    await expectError(open(quantized), "FILE_INVALID", quantized, `"${name}" has a NaN in row ${row};`);
  });
});
