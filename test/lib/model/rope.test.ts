import { expect, test } from "vitest";
import { Config } from "../../../lib/model/config.ts";
import { buildRope, ropeFromConfig, ropeFromGguf } from "../../../lib/model/rope.ts";
import { expectError } from "../../support/expect.ts";

const defaults = { base: 10000, contextLength: 512 };
const fromConfig = (object: Record<string, unknown>, size: number = 16) =>
  buildRope({ ...ropeFromConfig(Config.of("config.json: ", object), defaults), size, interleaved: false });
const fromGguf = (object: Record<string, unknown>, divisors?: Float32Array) =>
  buildRope({ ...ropeFromGguf(Config.of("m.gguf: llama.", object), defaults), size: 16, interleaved: true, divisors });

test("default and linear", () => {
  const plain = fromConfig({ rope_theta: 500000 }, 64);
  expect(plain.scale).toBe(1);
  expect(plain.frequencies).toEqual(Float32Array.from({ length: 32 }, (_, i) => 500000 ** (-i / 32)));
  const linear = fromConfig({ rope_theta: 500000, rope_scaling: { type: "linear", factor: 4 } }, 64);
  expect(linear.frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 4));
});

test("both dialects say the same, and the inside wins", () => {
  const scaling = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
  const older = fromConfig({ rope_theta: 500000, rope_scaling: scaling });
  expect(
    fromConfig({ rope_theta: 7, rope_parameters: { rope_theta: 500000, ...scaling }, rope_scaling: { rope_type: "linear", factor: 2 } }),
  ).toEqual(older);
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

test("GGUF: none, linear, divisors", () => {
  const plain = fromGguf({});
  expect(fromGguf({ "rope.scaling.type": "none", "rope.scaling.factor": 8 })).toEqual(plain);
  expect(fromGguf({ "rope.scaling.factor": 2 }).frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 2));
  expect(fromGguf({}, new Float32Array(8).fill(8)).frequencies).toEqual(plain.frequencies.map((frequency) => frequency / 8));
});

test("refuses what it does not know", async () => {
  const refused = (parameters: Record<string, unknown>) => () => fromConfig({ rope_parameters: parameters });
  for (const type of ["dynamic", "longrope", "mrope", "proportional"])
    await expectError(refused({ rope_type: type, factor: 2 }), "UNSUPPORTED_MODEL", "rope_parameters.rope_type", type, "yarn");
  await expectError(refused({ partial_rotary_factor: 0.5 }), "UNSUPPORTED_MODEL", "partial_rotary_factor");
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
  await expectError(() => fromGguf({}, new Float32Array(4)), "FILE_INVALID", "rope_freqs.weight has 4");
});
