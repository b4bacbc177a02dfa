import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { KvasirError } from "../../../lib/errors.ts";
import { readGguf } from "../../../lib/files/gguf.ts";
import { expectError } from "../../support/expect.ts";
import { type GgufInput, ggufBytes, type MetadataValue, writeGguf } from "../../support/files.ts";
import { mutate } from "../../support/mutants.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const path = join(temporaryDirectory(), "t.gguf");
const tokens = Array.from({ length: 100 }, (_, id) => `<${id}>`);
const sample: GgufInput = {
  metadata: {
    "general.architecture": "llama",
    "a.u64": { type: "u64", value: 2 ** 53 - 1 },
    "a.i64": { type: "i64", value: -5 },
    "a.f64": { type: "f64", value: 0.1 },
    "a.i8": { type: "i8", value: -128 },
    "a.u16": { type: "u16", value: 65535 },
    "a.i16": { type: "i16", value: -2 },
    "a.u8": { type: "u8", value: 255 },
    "a.f32": 0.5,
    "a.yes": true,
    "a.short": [1, -2, 3],
    "a.flags": [true, false],
    "a.tokens": tokens,
    "a.scores": Array.from({ length: 100 }, (_, id) => id / 2),
  },
  tensors: [
    { name: "w", type: "Q4_K", shape: [3, 512] },
    { name: "v", type: "F32", shape: [7] },
    { name: "i", type: "IQ4_NL", shape: [2, 2, 32] },
  ],
};

test.each([2, 3])("reads version %i", async (version) => {
  await writeGguf(path, { ...sample, version });
  const file = await readGguf(path, new Set(["a.tokens", "a.scores"]));
  expect(file.version).toBe(version);
  expect(Object.fromEntries(file.metadata)).toMatchObject({
    "a.u64": 2 ** 53 - 1,
    "a.i64": -5,
    "a.f64": 0.1,
    "a.i8": -128,
    "a.u16": 65535,
    "a.i16": -2,
    "a.u8": 255,
    "a.f32": 0.5,
    "a.yes": true,
    "a.short": [1, -2, 3],
    "a.flags": [true, false],
    "a.tokens": tokens,
  });
  expect(file.tensors).toEqual([
    { name: "w", type: "Q4_K", shape: [3, 512], offset: file.dataOffset, bytes: 6 * 144 },
    { name: "v", type: "F32", shape: [7], offset: file.dataOffset + 864, bytes: 28 },
    { name: "i", type: "IQ4_NL", shape: [2, 2, 32], offset: file.dataOffset + 896, bytes: 72 },
  ]);
  expect(file.dataOffset % 32).toBe(0);
});

test("passes over long arrays", async () => {
  await writeGguf(path, sample);
  const file = await readGguf(path);
  expect([...file.skipped].map(([key, { type, length }]) => [key, type, length])).toEqual([
    ["a.tokens", "string", 100],
    ["a.scores", "f32", 100],
  ]);
  expect(file.metadata.has("a.short")).toBe(true);
});

test("a header of several chunks is read as one", async () => {
  const many = Array.from({ length: 200_000 }, (_, id) => `token ${id}`);
  await writeGguf(path, { metadata: { tokens: many, last: "end" } });
  const [whole, passed] = [await readGguf(path, new Set(["tokens"])), await readGguf(path)];
  expect(whole.metadata.get("tokens")).toEqual(many);
  for (const file of [whole, passed]) expect(file.metadata.get("last")).toBe("end");
  expect(passed.skipped.get("tokens")).toEqual({ type: "string", length: 200_000 });
});

test("arrays are read that are asked for, and strings that may be of use", async () => {
  const long = "x".repeat(2 ** 20);
  await writeGguf(path, { metadata: { ...sample.metadata, "a.text": long, "a.file": `${long}x`, last: "end" } });
  const { metadata, skipped } = await readGguf(path, new Set(["a.scores"]));
  expect(metadata.get("a.scores")).toHaveLength(100);
  expect(metadata.get("a.text")).toHaveLength(2 ** 20);
  expect(metadata.get("last")).toBe("end");
  expect([...skipped.keys()]).toEqual(["a.tokens", "a.file"]);
  expect(skipped.get("a.file")).toEqual({ type: "string", length: 2 ** 20 + 1 });
});

test("refuses more than any model has", async () => {
  const counts = (tensors: bigint, entries: bigint): Promise<void> => {
    const { bytes } = ggufBytes({ metadata: { a: "x".repeat(2 ** 20) } });
    bytes.writeBigUInt64LE(tensors, 8);
    bytes.writeBigUInt64LE(entries, 16);
    return writeFile(path, bytes);
  };
  await counts(2n ** 14n + 1n, 1n);
  await expectError(readGguf(path), "FILE_INVALID", "16385 tensors; expected at most 16384");
  await counts(0n, 2n ** 12n + 1n);
  await expectError(readGguf(path), "FILE_INVALID", "4097 metadata entries; expected at most 4096");
  await writeGguf(path, { metadata: { big: { type: "array", elements: "u8", value: [] }, last: "end" } });
  const bytes = await readFile(path);
  bytes.writeBigUInt64LE(2n ** 27n, bytes.indexOf("big") + 3 + 8);
  // The array's bytes are a hole in the file.
  await writeFile(path, bytes.subarray(0, bytes.indexOf("big") + 3 + 16));
  await truncate(path, 2 ** 28);
  await expectError(readGguf(path), "FILE_INVALID", "key 1 of the metadata", `beyond byte ${2 ** 27}`, "shorter header");
  await writeGguf(path, { metadata: { tokens: { type: "array", elements: "u8", value: Array(2 ** 21 + 1).fill(1) } } });
  expect((await readGguf(path)).skipped.get("tokens")).toEqual({ type: "u8", length: 2 ** 21 + 1 });
  await expectError(readGguf(path, new Set(["tokens"])), "FILE_INVALID", "tokens has 2097153 elements; expected at most 2097152");
});

test("alignment is the file's", async () => {
  await writeGguf(path, { ...sample, metadata: { "general.alignment": 128 } });
  expect((await readGguf(path)).dataOffset % 128).toBe(0);
  for (const alignment of [0, 1, 4, 48, 2 ** 31 + 1, "32", 32.5]) {
    await writeGguf(path, { ...sample, metadata: { "general.alignment": alignment } as Record<string, MetadataValue> });
    await expectError(readGguf(path), "FILE_INVALID", "general.alignment", "power of two");
  }
  await writeGguf(path, { ...sample, metadata: { "general.alignment": { type: "u32", value: 2 ** 31 } } });
  await expectError(readGguf(path), "FILE_INVALID", "cut short");
});

/** A file of one tensor, its record changed after the fact: `field` counts from the end (offset, type, then dimensions). */
async function tensorWith(field: number, value: bigint, shape: number[] = [2, 32], type: string = "Q8_0"): Promise<void> {
  const { bytes, fields } = ggufBytes({ metadata: {}, tensors: [{ name: "w", type, shape }] });
  const { offset, size } = fields.at(-field)!;
  for (let i = 0; i < size; i++) bytes[offset + i] = Number((value >> BigInt(8 * i)) & 255n);
  await writeFile(path, bytes);
}

test("refuses tensors out of their file, of wrong sizes and of unknown types", async () => {
  await tensorWith(1, 32n);
  await expectError(readGguf(path), "FILE_INVALID", '"w" takes 68 bytes', "cut short");
  await tensorWith(1, 1n);
  await expectError(readGguf(path), "FILE_INVALID", "begins at 1", "alignment 32");
  await tensorWith(1, 2n ** 53n - 32n);
  await expectError(readGguf(path), "FILE_INVALID", "2^53");
  await tensorWith(2, 77n);
  await expectError(readGguf(path), "UNSUPPORTED_FORMAT", "unknown type 77");
  await tensorWith(4, 33n);
  await expectError(readGguf(path), "FILE_INVALID", "multiples of 32");
  await tensorWith(3, 0n);
  await expectError(readGguf(path), "FILE_INVALID", "dimensions above 0");
  await tensorWith(3, 2n ** 52n);
  await expectError(readGguf(path), "FILE_INVALID", "2^53");
  await tensorWith(5, 5n);
  await expectError(readGguf(path), "FILE_INVALID", "5 dimensions; expected 1 to 4");
});

test("refuses duplicates and overlaps", async () => {
  const w = { name: "w", type: "F32", shape: [8] };
  await writeGguf(path, { metadata: {}, tensors: [w, w] });
  await expectError(readGguf(path), "FILE_INVALID", '"w" stands twice');
  const { bytes, fields } = ggufBytes({ metadata: {}, tensors: [w, { ...w, name: "x" }] });
  bytes.writeBigUInt64LE(0n, fields.at(-1)!.offset);
  await writeFile(path, bytes);
  await expectError(readGguf(path), "FILE_INVALID", "w and x overlap");
  const twice = ggufBytes({ metadata: { aa: 1, ab: 2 } }).bytes;
  twice[twice.indexOf("ab") + 1] = "a".charCodeAt(0);
  await writeFile(path, twice);
  await expectError(readGguf(path), "FILE_INVALID", '"aa" stands twice');
});

test("refuses other versions, byte orders and kinds", async () => {
  const { bytes } = ggufBytes(sample);
  const changed = async (change: (bytes: Buffer) => void): Promise<void> => {
    const copy = Buffer.from(bytes);
    change(copy);
    await writeFile(path, copy);
  };
  await changed((copy) => copy.write("ggml"));
  await expectError(readGguf(path), "UNSUPPORTED_FORMAT", '"ggml"', "GGUF");
  await changed((copy) => copy.write("FUGG"));
  await expectError(readGguf(path), "UNSUPPORTED_FORMAT", "big-endian");
  await changed((copy) => copy.writeUInt32BE(3, 4));
  await expectError(readGguf(path), "UNSUPPORTED_FORMAT", "big-endian");
  for (const version of [0, 1, 4]) {
    await changed((copy) => copy.writeUInt32LE(version, 4));
    await expectError(readGguf(path), "UNSUPPORTED_FORMAT", `version is ${version}`, "2 or 3");
  }
  await writeFile(path, "GG");
  await expectError(readGguf(path), "FILE_INVALID", "2 are left");
});

test("refuses malformed metadata", async () => {
  const cases: [MetadataValue, string][] = [
    [{ type: "u64", value: 2 ** 53 }, "9007199254740992"],
    [{ type: "i64", value: -(2 ** 53) }, "-9007199254740992"],
    [{ type: "bool", value: 2 }, "boolean 2"],
    [{ type: "array", value: [], elements: "array" }, "array of arrays"],
  ];
  for (const [value, named] of cases) {
    await writeGguf(path, { metadata: { "a.key": value } });
    await expectError(readGguf(path), named.includes("arrays") ? "UNSUPPORTED_FORMAT" : "FILE_INVALID", named);
  }
  const { bytes } = ggufBytes({ metadata: { "a.key": "\u00ff" } });
  bytes[bytes.indexOf(0xbf)] = 0x20;
  await writeFile(path, bytes);
  await expectError(readGguf(path), "FILE_INVALID", "a.key is not UTF-8");
});

test("what is wrong with a string, or with an array's element, is said of the key and the place", async () => {
  const elements = ["one", "two", "\u00ff", "four"];
  const many = Array.from({ length: 100 }, (_, i) => `${i}\u00ff`);
  const write = async (input: GgufInput, change: (bytes: Buffer) => Buffer): Promise<void> => {
    await writeFile(path, change(ggufBytes(input).bytes));
  };
  const lengthBefore = (text: string, value: bigint) => (bytes: Buffer) => {
    bytes.writeBigUInt64LE(value, bytes.indexOf(text) - 8);
    return bytes;
  };
  const broken = (text: string) => (bytes: Buffer) => {
    bytes[bytes.indexOf(text) + Buffer.from(text).length - 1] = 0x20;
    return bytes;
  };
  const cut = (text: string) => (bytes: Buffer) => bytes.subarray(0, bytes.indexOf(text) - 4);
  const cases: [GgufInput, (bytes: Buffer) => Buffer, string][] = [
    [{ metadata: { a: 1, "b.key": elements } }, broken("\u00ff"), "b.key[2] is not UTF-8"],
    [{ metadata: { a: 1, "b.key": elements } }, lengthBefore("two", 2n ** 40n), "b.key[1] has 1099511627776 bytes; expected at most"],
    [{ metadata: { a: 1, "b.key": elements } }, cut("four"), "b.key[3] at byte"],
    [{ metadata: { a: 1, "b.key": many } }, broken("77\u00ff"), "b.key[77] is not UTF-8"],
    [{ metadata: { a: 1, "b.key": many } }, lengthBefore("33", 2n ** 21n), "b.key[33] has 2097152 bytes; expected at most"],
    [{ metadata: { a: 1, "b.key": { type: "array", elements: "bool", value: [1, 0, 2] } } }, (bytes) => bytes, "b.key[2] is the boolean 2"],
    [{ metadata: { a: 1, "b.key": 1 } }, lengthBefore("b.key", 2n ** 17n), "key 1 of the metadata has 131072 bytes"],
    [{ metadata: { a: 1, "b.k\u00ff": 1 } }, broken("b.k\u00ff"), "key 1 of the metadata is not UTF-8"],
    [{ metadata: {}, tensors: [{ name: "v", type: "F32", shape: [7] }, { name: "w.\u00ff", type: "F32", shape: [7] }] }, broken("w.\u00ff"), "name 1 of the tensors is not UTF-8"], // biome-ignore format: a line
  ];
  for (const [input, change, named] of cases) {
    await write(input, change);
    await expectError(readGguf(path, new Set(["b.key"])), "FILE_INVALID", named);
  }
  await write({ metadata: { a: 1, "b.key": many } }, lengthBefore("33", 2n ** 40n));
  await expectError(readGguf(path), "FILE_INVALID", "b.key[33] has 1099511627776 bytes"); // where they are passed over
});

test("300 mutants are read or refused", async () => {
  const bytes = ggufBytes(sample);
  let accepted = 0;
  for (let seed = 0; seed < 300; seed++) {
    await writeFile(path, mutate(bytes, seed));
    try {
      await readGguf(path, new Set(seed % 2 === 0 ? ["a.tokens", "a.scores"] : []));
      accepted++;
    } catch (error) {
      if (!(error instanceof KvasirError && /^(FILE_INVALID|UNSUPPORTED_FORMAT)$/.test(error.code)))
        throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  expect(accepted).toBeLessThan(250);
});
