import { expect, test } from "vitest";
import { Config } from "../../../lib/model/config.ts";
import { buildRope, ropesFor } from "../../../lib/model/rope.ts";
import { type RopeTensors, ropesFromConfig, ropesFromGguf } from "../../../lib/model/rope-settings.ts";
import { expectError } from "../../support/expect.ts";

const NO_TENSORS: RopeTensors = { divisors: undefined, short: undefined, long: undefined };
const fromConfig = (object: Record<string, unknown>, size: number = 16) =>
  buildRope({
    ...ropesFromConfig(Config.of("config.json: ", object), { contextLength: 512, headSize: size }, false).full,
    interleaved: false,
  });
const fromGguf = (object: Record<string, unknown>, tensors: Partial<RopeTensors> = {}) => {
  const all = { ...NO_TENSORS, ...tensors };
  const config = Config.of("m.gguf: llama.", object).as({ names: { rope_theta: "rope.freq_base" } });
  return buildRope({ ...ropesFromGguf(config, 512, 16, all).full, interleaved: true, divisors: all.divisors });
};

test("default and linear", () => {
  const plain = fromConfig({ rope_theta: 500000 }, 64);
  expect(plain.scale).toBe(1);
  expect(plain.frequencies).toEqual(Float64Array.from({ length: 32 }, (_, i) => 500000 ** (-i / 32)));
  const linear = fromConfig({ rope_theta: 500000, rope_scaling: { type: "linear", factor: 4 } }, 64);
  expect(linear.frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 4));
});

test("both dialects say the same, and the inside wins", () => {
  const scaling = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
  const older = fromConfig({ rope_theta: 500000, rope_scaling: scaling });
  expect(fromConfig({ rope_theta: 7, rope_parameters: { rope_theta: 500000, ...scaling } })).toEqual(older);
  // Original context 64: pairs that turn more than 4 times in it are kept, less than once divided by 8, between blended.
  const plain = fromConfig({ rope_theta: 500000 });
  expect(older.frequencies[0]).toBe(plain.frequencies[0]);
  expect(older.frequencies[7]).toBeCloseTo(plain.frequencies[7]! / 8, 12);
  const turns = (64 * plain.frequencies[1]!) / (2 * Math.PI);
  const kept = (turns - 1) / 3;
  expect(older.frequencies[1]).toBeCloseTo(plain.frequencies[1]! * (kept + (1 - kept) / 8), 7);
});

test("yarn: kept, ramp, divided; factor on cos and sin", () => {
  const scaling = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 128 };
  const plain = fromConfig({}).frequencies;
  const yarn = fromConfig({ rope_parameters: scaling });
  // By hand: the ramp runs from pair floor(-0.39) = 0 to pair ceil(2.62) = 3.
  expect(yarn.scale).toBeCloseTo(0.1 * Math.log(4) + 1, 12);
  const kept = [1, 2 / 3, 1 / 3, 0, 0, 0, 0, 0];
  for (const [i, share] of kept.entries()) expect(yarn.frequencies[i]! / plain[i]!).toBeCloseTo(share + (1 - share) / 4, 6);
  const gguf = { "rope.scaling.type": "yarn", "rope.scaling.factor": 4, "rope.scaling.original_context_length": 128 };
  expect(fromGguf(gguf)).toEqual({ ...yarn, interleaved: true });
  expect(fromGguf({ ...gguf, "rope.scaling.yarn_attn_factor": 1.5 }).scale).toBe(1.5);
  const exact = fromConfig({ rope_parameters: { ...scaling, truncate: false } });
  const high = (16 * Math.log(128 / (2 * Math.PI))) / (2 * Math.log(10000));
  expect(exact.frequencies[1]! / plain[1]!).toBeCloseTo(1 - 0.75 / high, 6);
  expect(fromConfig({ rope_parameters: { ...scaling, attention_factor: 1.25 } }).scale).toBe(1.25);
  expect(fromConfig({ rope_parameters: { ...scaling, mscale: 0.75, mscale_all_dim: 0.75 } }).scale).toBe(1);
  // Without an original context of its own: the trained one.
  expect(fromConfig({ rope_parameters: { ...scaling, original_max_position_embeddings: null } })).toEqual(
    fromConfig({ rope_parameters: { ...scaling, original_max_position_embeddings: 512 } }),
  );
});

test("longrope: factors by the engine's context, in both dialects", () => {
  const plain = fromConfig({}).frequencies;
  const [short, long] = [Array(8).fill(1), Array.from({ length: 8 }, (_, i) => i + 2)];
  const scaling = { rope_type: "longrope", short_factor: short, long_factor: long, original_max_position_embeddings: 32 };
  const rope = fromConfig({ rope_parameters: scaling });
  expect(rope.scale).toBeCloseTo(Math.sqrt(1 + Math.log(16) / Math.log(32)), 12);
  expect(ropesFor([rope], 32)[0]!.frequencies).toEqual(plain);
  expect(ropesFor([rope], 33)[0]!.frequencies).toEqual(Float64Array.from({ length: 8 }, (_, i) => 10000 ** (-i / 8) / (i + 2)));
  expect(ropesFor([rope], 33)[0]).not.toHaveProperty("long");
  expect(fromConfig({ rope_parameters: { ...scaling, attention_factor: 1.5 } }).scale).toBe(1.5);
  expect(fromConfig({ rope_parameters: { ...scaling, factor: 1 } }).scale).toBe(1);
  // phi3's first names of it, and its original context outside.
  const { original_max_position_embeddings, rope_type: _, ...older } = scaling;
  for (const type of ["su", "yarn"])
    expect(fromConfig({ rope_scaling: { type, ...older }, original_max_position_embeddings })).toEqual(rope);
  const metadata = { "rope.scaling.original_context_length": 32, "rope.scaling.attn_factor": rope.scale };
  const tensors = { short: Float32Array.from(short), long: Float32Array.from(long) };
  expect(fromGguf(metadata, tensors)).toEqual({ ...rope, interleaved: true });
  expect(() => fromGguf(metadata, { long: tensors.long })).toThrow("expected both or none");
});

test("shares of a head, and a rope for each kind of layer", () => {
  const ropes = (object: Record<string, unknown>) =>
    ropesFromConfig(Config.of("config.json: ", object), { contextLength: 512, headSize: 16 }, true);
  expect(ropes({ partial_rotary_factor: 0.25, rope_parameters: { partial_rotary_factor: 0.5 } }).full.size).toBe(8);
  expect(ropes({ partial_rotary_factor: 0.25 }).full.size).toBe(4);
  const both = ropes({
    rope_theta: 3,
    rope_parameters: { full_attention: { rope_type: "linear", factor: 2, rope_theta: 5 }, sliding_attention: { rope_type: "default" } },
  });
  expect(both.full).toEqual({ base: 5, size: 16, scaling: { type: "linear", factor: 2 } });
  expect(both.sliding).toEqual({ base: 3, size: 16, scaling: { type: "default" } });
  const older = ropes({ rope_theta: 5, rope_local_base_freq: 3, rope_scaling: { type: "linear", factor: 2 } });
  expect(older).toEqual(both);
  // Flat parameters are of all layers; their scaling only of those that see all.
  expect(ropes({ rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 5 } }).sliding.base).toBe(5);
  expect(ropes({ rope_local_base_freq: 3, rope_parameters: { rope_theta: 5 } }).sliding.base).toBe(3);
});

test("GGUF: none, linear, divisors", () => {
  const plain = fromGguf({});
  expect(fromGguf({ "rope.scaling.type": "none", "rope.scaling.factor": 8 })).toEqual(plain);
  expect(fromGguf({ "rope.scaling.factor": 2 }).frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 2));
  expect(fromGguf({}, { divisors: new Float32Array(8).fill(8) }).frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 8));
});

test("refuses what it does not know", async () => {
  const refused = (parameters: Record<string, unknown>) => () => fromConfig({ rope_parameters: parameters });
  for (const type of ["dynamic", "mrope", "proportional"])
    await expectError(refused({ rope_type: type, factor: 2 }), "UNSUPPORTED_MODEL", "rope_parameters.rope_type", type, "yarn");
  await expectError(refused({ partial_rotary_factor: 1.5 }), "FILE_INVALID", "partial_rotary_factor is 1.5");
  await expectError(refused({ partial_rotary_factor: 0.2 }), "FILE_INVALID", "3 of 16 dimensions turn; expected an even number");
  await expectError(() => fromGguf({ "rope.dimension_count": 5 }), "FILE_INVALID", "rope.dimension_count is 5");
  const factors = { short_factor: Array(8).fill(1), long_factor: Array(8).fill(2) };
  await expectError(refused({ rope_type: "longrope", factor: 2 }), "FILE_INVALID", "short_factor is undefined");
  await expectError(refused({ rope_type: "longrope", ...factors, long_factor: [1] }), "FILE_INVALID", "longrope has 1 factors; expected 8");
  await expectError(refused({ rope_type: "longrope", ...factors, short_factor: [0] }), "FILE_INVALID", "short_factor is");
  await expectError(refused({ rope_type: "linear" }), "FILE_INVALID", "rope_parameters.factor is missing");
  await expectError(refused({ rope_type: "linear", factor: 0 }), "FILE_INVALID", "factor is 0");
  await expectError(refused({ rope_theta: -1 }), "FILE_INVALID", "rope_theta is -1");
  await expectError(
    refused({ rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 }),
    "FILE_INVALID",
    "high_freq_factor",
  );
  await expectError(() => fromConfig({ rope_scaling: 2 }), "FILE_INVALID", "rope_scaling is 2");
  await expectError(() => fromGguf({ "rope.scaling.type": "longrope" }), "UNSUPPORTED_MODEL", "longrope");
  await expectError(() => fromGguf({ "rope.scaling.attn_factor": 1.2 }), "UNSUPPORTED_MODEL", "attn_factor");
  await expectError(() => fromGguf({}, { divisors: new Float32Array(4) }), "FILE_INVALID", "rope_freqs.weight has 4");
});

test("an original context outside holds, as transformers has it", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64, truncate: false };
  const outside = { original_max_position_embeddings: 128 };
  expect(fromConfig({ ...outside, rope_parameters: yarn })).toEqual(fromConfig({ rope_parameters: { ...yarn, ...outside } }));
});
