import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { inspectionOf } from "../../../lib/cli/inspect/inspection.ts";
import type { TypeCount } from "../../../lib/cli/inspect/stored.ts";
import { checkRuns, openModel } from "../../../lib/model/open.ts";
import type { TensorRow } from "../../../lib/model/spec.ts";
import { expectError } from "../../support/expect.ts";
import { type TensorInput, writeJson, writeSafetensors } from "../../support/files.ts";
import { FP8_DIALECTS, type Fp8Model, writeFp8Model } from "../../support/fp8.ts";
import { configOf, huggingFaceTensors, type ModelShape, TINY } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const SHAPE: ModelShape = { ...TINY, hiddenSize: 192, headSize: 64, feedForwardSize: 320 };
const Q = "model.layers.0.self_attn.q_proj.weight"; // [256, 192]

const root = temporaryDirectory();
let blocks: Fp8Model;
beforeAll(async () => {
  blocks = await writeFp8Model(join(root, "blocks"), SHAPE, FP8_DIALECTS["fp8, blocks with scales in F32"]!);
});

const withConfig = async (settings: unknown): Promise<string> => {
  await writeJson(join(blocks.quantized, "config.json"), { ...configOf(SHAPE), quantization_config: settings });
  return blocks.quantized;
};
const FINE = FP8_DIALECTS["fp8, blocks with scales in F32"]!.settings;

/** Tensors of a model that sees images, which has settings of its own and of its text half. */
async function openHalves(whole: unknown, half: unknown): Promise<TensorRow[]> {
  await withTensors({});
  const text = { ...configOf(SHAPE), quantization_config: half };
  const config = { model_type: "llava", text_config: text, quantization_config: whole };
  await writeJson(join(blocks.quantized, "config.json"), config);
  return (await openModel(blocks.quantized)).tensors;
}

/** The directory with tensors changed by name: those of whom nothing is said stay, those that become null are gone. */
async function withTensors(changes: Record<string, Partial<TensorInput> | null>): Promise<string> {
  const tensors = blocks.tensors.flatMap((tensor): TensorInput[] => {
    const change = changes[tensor.name];
    return change === null ? [] : [{ ...tensor, ...change }];
  });
  await writeSafetensors(join(blocks.quantized, "model.safetensors"), tensors);
  return withConfig(FINE);
}

describe("quantization_config", () => {
  test("a tensor's row says where its scales are", async () => {
    const { tensors, files } = await openModel(await withTensors({}));
    const row = tensors.find(({ name }) => name === "layers.0.q")!;
    expect(row).toMatchObject({ type: "F8_E4M3", shape: [256, 192], scales: { file: 0, type: "F32", first: 0 } });
    expect([row.scales!.blockRows, row.scales!.blockColumns]).toEqual([128, 128]);
    expect(row.scales!.offset).toBeLessThan(files[0]!.size);
    expect(tensors.find(({ name }) => name === "lm_head")!.scales).toBeUndefined();
    const { problems, types, architecture } = await inspectionOf(blocks.quantized, false);
    expect([problems, architecture, types.some(({ type }) => type === "F8_E4M3")]).toEqual([[], "llama", true]);
    const parameters = (all: TypeCount[]): number => all.reduce((sum, type) => sum + type.parameters, 0);
    expect(parameters(types)).toBe(parameters((await inspectionOf(blocks.f32, false)).types)); // scales are none
    await checkRuns(blocks.quantized);
  });

  test("schemes that are not read, by the setting", async () => {
    await withTensors({});
    const compressed = FP8_DIALECTS["compressed-tensors, blocks"]!.settings;
    const GROUPS = compressed.config_groups as object;
    const weights = (change: object) => ({
      ...compressed,
      config_groups: { group_0: { weights: { num_bits: 8, type: "float", ...change } } },
    });
    const cases: [unknown, ...string[]][] = [
      [{ ...FINE, fmt: "e5m2" }, "fmt", '"e5m2"', '"e4m3"'],
      [{ ...FINE, weight_block_size: [128, 32] }, "weight_block_size", "multiple of 64"],
      [{ ...compressed, format: "pack-quantized" }, "format", '"pack-quantized"', '"float-quantized"'],
      [{ ...compressed, sparsity_config: { format: "sparse-bitmask" } }, "sparsity_config.format", '"dense"'],
      [{ ...compressed, transform_config: { config_groups: { u: {} } } }, "transform_config"],
      [{ ...compressed, transform_config: { rotations: 1 } }, "transform_config"],
      [weights({ num_bits: 4 }), "config_groups.group_0.weights.num_bits is 4", "8"],
      [weights({ type: "int" }), "weights.type", '"int"'],
      [weights({ symmetric: false }), "weights.symmetric"],
      [weights({ strategy: "group" }), "weights.strategy", '"group"', '"channel"'],
      [{ ...compressed, config_groups: { ...GROUPS, b: { weights: { block_structure: [64, 128] } } } }, "config_groups", "one size"],
      [{ quant_method: "fbgemm_fp8" }, "fbgemm_fp8", "compressed-tensors"],
    ];
    for (const [settings, ...words] of cases) {
      const directory = await withConfig(settings);
      await expectError(openModel(directory), "UNSUPPORTED_FORMAT", "config.json", ...words);
      await expectError(checkRuns(directory), "UNSUPPORTED_FORMAT", ...words);
    }
    const invalid: [unknown, ...string[]][] = [
      [{ ...FINE, weight_block_size: [128] }, "weight_block_size", "[rows, columns]"],
      [{ ...FINE, weight_block_size: [0, 128] }, "weight_block_size"],
      [{ ...FINE, weight_block_size: "128x128" }, "weight_block_size"],
      [{ ...compressed, config_groups: {} }, "config_groups", "groups"],
      [{ ...compressed, config_groups: [] }, "config_groups"],
      [{ ...compressed, config_groups: { group_0: 3 } }, "group_0"],
      [{ ...compressed, config_groups: { group_0: null } }, "group_0 is missing", "an object"],
      [{ ...compressed, config_groups: undefined }, "config_groups is missing"],
    ];
    for (const [settings, ...words] of invalid)
      await expectError(openModel(await withConfig(settings)), "FILE_INVALID", "config.json", ...words);
  });

  test("names of groups in messages are escaped and short", async () => {
    await withTensors({});
    const { settings } = FP8_DIALECTS["compressed-tensors, blocks"]!;
    const groups = (name: string) => ({ ...settings, config_groups: { [name]: { weights: { num_bits: 4 } } } });
    await expectError(
      openModel(await withConfig(groups("a\u001b[2J\n"))),
      "UNSUPPORTED_FORMAT",
      'groups."a\\u001b[2J\\n".weights.num_bits',
    );
    const error = await openModel(await withConfig(groups("x".repeat(50_000)))).catch((error: Error) => error);
    expect((error as Error).message.length - blocks.quantized.length).toBeLessThan(300);
  });

  test("groups without weights quantize none, and empty transforms are none", async () => {
    const { settings } = FP8_DIALECTS["compressed-tensors, blocks"]!;
    const cache = { targets: ["LlamaAttention"], weights: null, input_activations: { num_bits: 8 } };
    await withTensors({});
    const groups = { ...(settings.config_groups as object), cache };
    const directory = await withConfig({ ...settings, transform_config: { config_groups: {} }, config_groups: groups });
    expect((await openModel(directory)).tensors.some(({ type }) => type === "F8_E4M3")).toBe(true);
    const none = { ...settings, config_groups: { cache } };
    await expectError(openModel(await withConfig(none)), "UNSUPPORTED_FORMAT", "self_attn.q_proj.weight", "quantization_config");
    await writeJson(join(blocks.bf16, "config.json"), { ...configOf(SHAPE), quantization_config: none });
    expect((await openModel(blocks.bf16)).tensors.some(({ type }) => type === "F8_E4M3")).toBe(false);
  });

  test("of a model's text half", async () => {
    const tensors = await openHalves({}, FINE);
    expect(tensors.some(({ type }) => type === "F8_E4M3")).toBe(true);
    for (const whole of [undefined, null, FINE, { ...FINE }]) expect(await openHalves(whole, FINE)).toEqual(tensors);
    for (const half of [undefined, null, {}]) expect(await openHalves(FINE, half)).toEqual(tensors);
    const place = "config.json: text_config.quantization_config";
    await expectError(openHalves(FINE, { ...FINE, weight_block_size: [64, 64] }), "FILE_INVALID", place, "that of the whole model");
    await expectError(openHalves(undefined, { ...FINE, weight_block_size: [1] }), "FILE_INVALID", `${place}.weight_block_size`);
    await expectError(openHalves({}, { quant_method: "awq" }), "UNSUPPORTED_FORMAT", `${place}.quant_method is "awq"`);
    await expectError(openHalves({}, {}), "UNSUPPORTED_FORMAT", "config.json: quantization_config.quant_method is missing");
  });

  test("none, of weights in F8_E4M3", async () => {
    await withTensors({});
    await expectError(openModel(await withConfig(null)), "UNSUPPORTED_FORMAT", "self_attn.q_proj.weight", "no quantization_config");
    const unused = { name: Q.replace("weight", "input_scale"), type: "F32", shape: [], data: new Uint8Array(4) };
    await writeSafetensors(join(blocks.f32, "model.safetensors"), [...huggingFaceTensors(SHAPE), unused]);
    await expectError(openModel(blocks.f32), "UNSUPPORTED_MODEL", "input_scale", "no place");
  });
});

describe("scales", () => {
  test("that are missing, of another shape or type", async () => {
    const scale = `${Q}_scale_inv`; // [2, 2]
    await expectError(openModel(await withTensors({ [scale]: null })), "FILE_INVALID", Q, "missing");
    const shaped = (shape: number[]) => withTensors({ [scale]: { shape, data: new Uint8Array(shape.reduce((a, b) => a * b, 4)) } });
    for (const shape of [[2, 1], [1, 2], [4], [3, 2], [192, 1], [2, 2, 1], [0]])
      await expectError(openModel(await shaped(shape)), "FILE_INVALID", scale, `[${shape}]`, "[256,1]", "[2,2]");
    for (const shape of [[], [1], [256], [256, 1]]) await openModel(await shaped(shape));
    await shaped([2, 2]);
    const grid = await withConfig({ ...FINE, weight_block_size: null });
    await expectError(openModel(grid), "FILE_INVALID", scale, "[2,2]", "[256,1], as config.json names no size of blocks");
    const both = blocks.tensors.flatMap((tensor) => (tensor.name === scale ? [tensor, { ...tensor, name: `${Q}_scale` }] : [tensor]));
    await withTensors({});
    await writeSafetensors(join(blocks.quantized, "model.safetensors"), both);
    await expectError(openModel(blocks.quantized), "FILE_INVALID", Q, `${Q}_scale_inv and ${Q}_scale`);
    const other = await withTensors({ [scale]: { type: "F8_E8M0", data: new Uint8Array(4) } });
    await expectError(openModel(other), "UNSUPPORTED_FORMAT", scale, "F8_E8M0", "BF16");
  });

  test("of a matrix in another type have no place", async () => {
    const data = new Uint8Array(256 * 192 * 2);
    await expectError(openModel(await withTensors({ [Q]: { type: "BF16", data } })), "UNSUPPORTED_MODEL", `${Q}_scale_inv`);
    for (const type of ["F8_E5M2", "F8_E4M3FNUZ", "I8", "U8"])
      await expectError(openModel(await withTensors({ [Q]: { type } })), "UNSUPPORTED_FORMAT", `"${Q}" is ${type}`, "F8_E4M3");
    const whole = await withTensors({ [Q]: { type: "BF16", data }, [`${Q}_scale_inv`]: null });
    expect((await openModel(whole)).tensors.find(({ name }) => name === "layers.0.q")).toMatchObject({ type: "BF16" });
  });

  test("rows that blocks of 64 don't divide are refused, and vectors", async () => {
    const narrow = await writeFp8Model(join(root, "narrow"), TINY, FP8_DIALECTS["fp8, one scale_inv"]!);
    await expectError(openModel(narrow.quantized), "UNSUPPORTED_FORMAT", "rows have 32 columns", "multiple of 64");
    const norm = await withTensors({ "model.norm.weight": { type: "F8_E4M3", data: new Uint8Array(192) } });
    await expectError(openModel(norm), "UNSUPPORTED_FORMAT", "model.norm.weight", "of a vector");
  });
});
