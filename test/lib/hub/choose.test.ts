import { describe, expect, test } from "vitest";
import { chooseGguf } from "../../../lib/hub/choose.ts";
import { hubNameOf } from "../../../lib/hub/names.ts";
import { expectError } from "../../support/expect.ts";

const GB = 1e9;

/** Files by path, in gigabytes. */
const filesOf = (sizes: Record<string, number>) => Object.entries(sizes).map(([path, size]) => ({ path, size: size * GB }));
const choose = (sizes: Record<string, number>, choice?: string, memory = 100) =>
  chooseGguf(filesOf(sizes), hubNameOf(choice === undefined ? "a/b" : `a/b:${choice}`), memory * GB)?.map(({ path }) => path);

const MANY = {
  "README.md": 0,
  "config.json": 0,
  "mmproj-model-f16.gguf": 1,
  "imatrix_unsloth.gguf": 1,
  "M-1B-BF16.gguf": 2,
  "M-1B-IQ2_XXS.gguf": 0.3,
  "M-1B-Q2_K.gguf": 0.4,
  "M-1B-Q4_0_4_4.gguf": 0.7,
  "M-1B-Q4_K_M.gguf": 0.8,
  "M-1B-Q4_K_S.gguf": 0.7,
  "M-1B-Q8_0.gguf": 1.1,
};

describe("of many .gguf", () => {
  test("the best known that fits", () => {
    expect(choose(MANY)).toEqual(["M-1B-Q4_K_M.gguf"]);
    expect(choose(MANY, undefined, 0.75)).toEqual(["M-1B-Q4_K_S.gguf"]);
    expect(choose(MANY, undefined, 0.5)).toEqual(["M-1B-Q2_K.gguf"]);
    return expectError(() => choose(MANY, undefined, 0.35), "OUT_OF_MEMORY", "0.35 GB", "a/b:CHOICE", "Q2_K (0.40 GB)");
  });

  test.each([
    ["q8_0", "M-1B-Q8_0.gguf"],
    ["IQ2_xxs", "M-1B-IQ2_XXS.gguf"],
    ["M-1B-BF16.gguf", "M-1B-BF16.gguf"],
  ])("the one that is named: %s", (choice, path) => expect(choose(MANY, choice, 0)).toEqual([path]));

  test("a quantization that none has is an error with those there are", () =>
    expectError(() => choose(MANY, "Q5_K_M"), "MODEL_NOT_FOUND", "a/b:Q5_K_M has no such .gguf", "Q4_K_M (0.80 GB), Q4_K_S"));

  test("projectors and statistics are not chosen", () =>
    expect(choose({ "mmproj-x-Q8_0.gguf": 1, "imatrix.gguf": 1, "x.gguf": 1 })).toEqual(["x.gguf"]));

  test.each([
    ["llama-1b.Q4_K_M.gguf", "q4_k_m"],
    ["qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"],
    ["UD-Q4_K_XL/x-UD-Q4_K_XL.gguf", "ud-q4_k_xl"],
    ["x-fp16.gguf", "F16"],
    ["gpt-oss-20b-mxfp4.gguf", "MXFP4"],
    ["Q8-model-Q4_0.gguf", "Q4_0"],
  ])("%s is %s", (path, choice) => expect(choose({ [path]: 1, "other-Q6_K.gguf": 1 }, choice)).toEqual([path]));

  test("names that say nothing have to be chosen by path", async () => {
    const sizes = { "one.gguf": 1, "two.gguf": 1 };
    await expectError(() => choose(sizes), "INVALID_ARGUMENT", "one.gguf (1.00 GB), two.gguf");
    expect(choose(sizes, "two.gguf")).toEqual(["two.gguf"]);
  });

  test("two of one quantization are not chosen between", async () => {
    const sizes = { "a-Q4_K_M.gguf": 1, "b-Q4_K_M.gguf": 1, "b-Q8_0.gguf": 2 };
    expect(choose(sizes)).toEqual(["b-Q8_0.gguf"]);
    await expectError(() => choose(sizes, "Q4_K_M"), "INVALID_ARGUMENT", "is one of 2", "a-Q4_K_M.gguf", "b-Q4_K_M.gguf");
    expect(choose(sizes, "a-Q4_K_M.gguf")).toEqual(["a-Q4_K_M.gguf"]);
  });

  test("a split one is taken with all parts, in order, sized as a whole", async () => {
    const part = (n: number) => `Q8_0/x-Q8_0-0000${n}-of-00003.gguf`;
    const sizes = { [part(2)]: 40, [part(1)]: 40, [part(3)]: 10, "x-Q2_K.gguf": 20 };
    expect(choose(sizes)).toEqual([part(1), part(2), part(3)]);
    expect(choose(sizes, undefined, 89)).toEqual(["x-Q2_K.gguf"]);
    expect(choose(sizes, "Q8_0", 1)).toHaveLength(3);
    expect(choose(sizes, part(2))).toHaveLength(3);
    await expectError(() => choose({ [part(1)]: 1, [part(3)]: 1 }), "MODEL_NOT_FOUND", "2 of the 3 parts");
  });
});

test("safetensors are taken where there are any and no .gguf is named", () => {
  expect(choose({ "model.safetensors": 1, "x-Q4_K_M.gguf": 1 })).toBeUndefined();
  expect(choose({ "model.safetensors.index.json": 0, "x.gguf": 1 })).toBeUndefined();
  expect(choose({ "model.safetensors": 1, "x-Q4_K_M.gguf": 1 }, "Q4_K_M")).toEqual(["x-Q4_K_M.gguf"]);
  return expectError(() => choose({ "model.safetensors": 1 }, "Q4_K_M"), "MODEL_NOT_FOUND", "a repository with .gguf files");
});

test("what kvasir doesn't read is refused before it is downloaded", () =>
  expectError(() => choose({ "config.json": 0, "pytorch_model.bin": 1, "onnx/model.onnx": 1 }), "UNSUPPORTED_FORMAT", "pytorch_model.bin"));
