import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emitWarning, KvasirError } from "../../../lib/errors.ts";
import { readSafetensors, readSafetensorsDirectory } from "../../../lib/files/safetensors.ts";
import { expectError } from "../../support/expect.ts";
import { safetensorsBytes, safetensorsHeader, writeJson, writeSafetensors } from "../../support/files.ts";
import { mutateSafetensors } from "../../support/mutants.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const directory = temporaryDirectory();
const path = join(directory, "t.safetensors");
const tensors = [
  { name: "a", type: "F32", shape: [2, 3] },
  { name: "b", type: "BF16", shape: [5] },
  { name: "c", type: "F16", shape: [] },
];
const data = [new Uint8Array(24), new Uint8Array(10), new Uint8Array(2)];

test("reads names, types, shapes and places", async () => {
  const header = { __metadata__: { format: "pt" }, ...safetensorsHeader(tensors) };
  const bytes = safetensorsBytes(`${JSON.stringify(header)}   `, data);
  await writeFile(path, bytes);
  const file = await readSafetensors(path);
  const start = bytes.length - 36;
  expect(file).toEqual({
    path,
    size: bytes.length,
    tensors: [
      { name: "a", type: "F32", shape: [2, 3], offset: start, bytes: 24 },
      { name: "b", type: "BF16", shape: [5], offset: start + 24, bytes: 10 },
      { name: "c", type: "F16", shape: [], offset: start + 34, bytes: 2 },
    ],
  });
});

test.each<[string, object | string, Uint8Array[], string]>([
  ["trailing bytes", safetensorsHeader(tensors), [...data, new Uint8Array(1)], "36 of 37"],
  ["a file cut short", safetensorsHeader(tensors), data.slice(1), "cut short"],
  ["a hole", { a: { dtype: "U8", shape: [1], data_offsets: [1, 2] } }, [new Uint8Array(2)], "holes"],
  [
    "an overlap",
    { a: { dtype: "U8", shape: [2], data_offsets: [0, 2] }, b: { dtype: "U8", shape: [2], data_offsets: [1, 3] } },
    [new Uint8Array(3)],
    "a and b overlap",
  ],
  ["a size that isn't the shape's", { a: { dtype: "F32", shape: [2], data_offsets: [0, 4] } }, [new Uint8Array(4)], "expected 8"],
  ["offsets backwards", { a: { dtype: "U8", shape: [0], data_offsets: [1, 0] } }, [new Uint8Array(1)], "-1 bytes"],
  ["half a byte", { a: { dtype: "F4", shape: [1], data_offsets: [0, 1] } }, [new Uint8Array(1)], "0.5"],
  ["a product beyond 2^53", { a: { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 0] } }, [], "2^53"],
  ["a size beyond 2^53", '{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,0]}}', [], "list of sizes"],
  ["a size with a fraction", '{"a":{"dtype":"U8","shape":[32.0],"data_offsets":[0,32]}}', [new Uint8Array(32)], "digits alone"],
  ["a size of -0", '{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}', [], "digits alone"],
  ["an offset with an exponent", '{"a":{"dtype":"U8","shape":[10],"data_offsets":[0,1e1]}}', [new Uint8Array(10)], "digits alone"],
  ["a negative size", { a: { dtype: "U8", shape: [-1], data_offsets: [0, 0] } }, [], "list of sizes"],
  ["three offsets", { a: { dtype: "U8", shape: [0], data_offsets: [0, 0, 0] } }, [], "begin, end"],
  ["an unknown field", { a: { dtype: "U8", shape: [0], data_offsets: [0, 0], x: 1 } }, [], "dtype, shape and data_offsets"],
  ["a dtype of another kind", { a: { dtype: 1, shape: [0], data_offsets: [0, 0] } }, [], "expected a string"],
  ["metadata that isn't text", { __metadata__: { a: 1 } }, [], "object of strings"],
  ["a header that begins otherwise", ' {"a":1}', [], 'expected "{"'],
  ["a duplicate", '{"a":1,"a":1}', [], "stands twice"],
])("refuses %s", async (_, header, parts, named) => {
  await writeFile(path, safetensorsBytes(header, parts));
  await expectError(readSafetensors(path), "FILE_INVALID", named, "t.safetensors");
});

test("refuses a header longer than the file or the format's limit", async () => {
  const bytes = safetensorsBytes(safetensorsHeader(tensors), data);
  for (const length of [BigInt(bytes.length), 2n ** 25n + 1n, 2n ** 53n, 2n ** 64n - 1n]) {
    bytes.writeBigUInt64LE(length);
    await writeFile(path, bytes);
    await expectError(readSafetensors(path), "FILE_INVALID", String(length).slice(0, 15));
  }
  await writeFile(path, bytes.subarray(0, 7));
  await expectError(readSafetensors(path), "FILE_INVALID", "8 bytes, but 7 are left");
});

test("names an unknown dtype, a missing file and what is no file", async () => {
  await writeFile(path, safetensorsBytes({ a: { dtype: "F3", shape: [0], data_offsets: [0, 0] } }, []));
  await expectError(readSafetensors(path), "UNSUPPORTED_FORMAT", '"F3"');
  await expectError(readSafetensors(join(directory, "absent")), "FILE_NOT_FOUND", "absent");
  await expectError(readSafetensors(directory), "FILE_NOT_FOUND", "is a directory; expected a file");
});

test("300 mutants are read or refused", async () => {
  const bytes = safetensorsBytes({ __metadata__: { format: "pt" }, ...safetensorsHeader(tensors) }, data);
  let accepted = 0;
  for (let seed = 0; seed < 300; seed++) {
    await writeFile(path, mutateSafetensors(bytes, seed));
    try {
      await readSafetensors(path);
      accepted++;
    } catch (error) {
      if (!(error instanceof KvasirError && /^(FILE_INVALID|UNSUPPORTED_FORMAT)$/.test(error.code)))
        throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  expect(accepted).toBeLessThan(150);
});

test("a sharded index", async () => {
  const sharded = join(directory, "sharded");
  const index = join(sharded, "model.safetensors.index.json");
  await mkdir(sharded);
  await expectError(readSafetensorsDirectory(sharded, emitWarning), "FILE_NOT_FOUND", "model.safetensors.index.json");
  await writeSafetensors(join(sharded, "one.safetensors"), tensors.slice(0, 1));
  await writeSafetensors(join(sharded, "two.safetensors"), tensors.slice(1));
  await writeJson(index, { weight_map: { a: "one.safetensors", c: "two.safetensors" } });
  const files = await readSafetensorsDirectory(sharded, emitWarning);
  expect(files.map((file) => file.tensors.map(({ name }) => name))).toEqual([["a"], ["c"]]);
  await writeJson(index, { weight_map: { a: "two.safetensors" } });
  await expectError(readSafetensorsDirectory(sharded, emitWarning), "FILE_INVALID", '"a" in two.safetensors');
  await writeJson(index, { weight_map: { a: "three.safetensors" } });
  await expectError(readSafetensorsDirectory(sharded, emitWarning), "FILE_NOT_FOUND", "three.safetensors");
  for (const shard of ["../one.safetensors", "/etc/passwd", "a\\b.safetensors", "pytorch_model.bin", "", 7]) {
    await writeJson(index, { weight_map: { a: shard } });
    await expectError(readSafetensorsDirectory(sharded, emitWarning), "FILE_INVALID", "the name of a .safetensors file");
  }
  await writeJson(index, { weight_map: [] });
  await expectError(readSafetensorsDirectory(sharded, emitWarning), "FILE_INVALID", "weight_map");
});
