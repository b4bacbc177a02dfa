import { copyFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { readFirstPart, readGgufParts } from "../../../lib/files/gguf-parts.ts";
import { openModel, openText } from "../../../lib/model/open.ts";
import { expectError } from "../../support/expect.ts";
import { type MetadataValue, writeGguf } from "../../support/files.ts";
import { ggufModel, TINY } from "../../support/models.ts";
import { partPath, writeSplitGguf } from "../../support/split.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const directory = temporaryDirectory();
const model = ggufModel(TINY);
const u16 = (value: number): MetadataValue => ({ type: "u16", value });

test("a file that is whole is its only part", async () => {
  const path = join(directory, "whole.gguf");
  for (const metadata of [{}, { "split.count": u16(1), "split.no": u16(0) }, { "split.count": u16(0) }]) {
    await writeGguf(path, { metadata, tensors: model.tensors });
    expect(await readGgufParts(path)).toHaveLength(1);
    expect((await readFirstPart(path)).path).toBe(path);
  }
});

test("any part opens all; tokens and settings are the first one's", async () => {
  const paths = await writeSplitGguf(directory, "three", model, 3);
  await writeGguf(join(directory, "one.gguf"), model);
  const one = await openModel(join(directory, "one.gguf"));
  for (const path of paths) {
    const files = await readGgufParts(path);
    expect(files.map((file) => file.path)).toEqual(paths);
    expect(files.flatMap(({ tensors }) => tensors.map(({ name }) => name))).toEqual(model.tensors.map(({ name }) => name));
    const split = await openModel(path);
    expect(split.spec).toEqual(one.spec);
    expect(split.tensors.map(({ name, type, shape }) => ({ name, type, shape }))).toEqual(
      one.tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    );
    expect(new Set(split.tensors.map(({ file }) => file))).toEqual(new Set([0, 1, 2]));
    expect(split.files.map((file) => file.path)).toEqual(paths);
    expect((await openText(path)).name).toBe(basename(paths[0]!));
  }
});

test("text needs no other part", async () => {
  const paths = await writeSplitGguf(directory, "text", model, 3);
  await rm(paths[1]!);
  expect((await openText(paths[2]!)).name).toBe(basename(paths[0]!));
  await rm(paths[0]!);
  await expectError(openText(paths[2]!), "FILE_NOT_FOUND", paths[0]!);
});

test("what is missing or of another model is refused by its name", async () => {
  const refused = async (name: string, code: "FILE_INVALID" | "FILE_NOT_FOUND", at: number, word: string, part: string = paths[at]!) =>
    expectError(openModel(paths[name === "last" ? 2 : 0]!), code, part, word);
  let paths = await writeSplitGguf(directory, "bad", model, 3, (part) => (part === 1 ? { "split.count": u16(2) } : {}));
  await refused("first", "FILE_INVALID", 1, "split.count is 2; expected 3");
  paths = await writeSplitGguf(directory, "bad", model, 3, (part) => (part === 1 ? { "split.no": u16(2) } : {}));
  for (const name of ["first", "last"]) await refused(name, "FILE_INVALID", 1, "split.no is 2; expected 1");
  paths = await writeSplitGguf(directory, "bad", model, 3, () => ({ "split.tensors.count": { type: "i32", value: 5 } }));
  await refused("first", "FILE_INVALID", 0, `split.tensors.count is 5; expected ${model.tensors.length}`);
  paths = await writeSplitGguf(directory, "bad", model, 3, (part) =>
    part === 2 ? { "split.tensors.count": { type: "i32", value: 5 } } : {},
  );
  await refused("first", "FILE_INVALID", 2, `split.tensors.count is 5; expected ${model.tensors.length}`);
  paths = await writeSplitGguf(directory, "bad", model, 3, () => ({ "split.count": { type: "f32", value: 2.5 } }));
  await refused("first", "FILE_INVALID", 0, "split.count is 2.5; expected a whole number");
  paths = await writeSplitGguf(directory, "bad", model, 3, () => ({ "split.count": "3" }));
  await refused("first", "FILE_INVALID", 0, 'split.count is "3"; expected a whole number');
  paths = await writeSplitGguf(directory, "bad", model, 3);
  await writeGguf(paths[1]!, { metadata: {}, tensors: [] });
  await refused("first", "FILE_INVALID", 1, "split.count is missing");
  await rm(paths[1]!);
  for (const name of ["first", "last"]) await refused(name, "FILE_NOT_FOUND", 1, "does not exist");
});

test("a tensor in two parts is refused", async () => {
  const tensors = [...model.tensors, model.tensors[0]!];
  const paths = await writeSplitGguf(directory, "twice", { ...model, tensors }, 2);
  await expectError(openModel(paths[0]!), "FILE_INVALID", paths[1]!, `"${tensors[0]!.name}" is in another file, too`);
});

test("a part whose name says otherwise is refused", async () => {
  const paths = await writeSplitGguf(directory, "renamed", model, 3);
  for (const name of ["renamed.gguf", "renamed-00001-of-00004.gguf", "renamed-00009-of-00003.gguf", "renamed-00000-of-00003.gguf"]) {
    const path = join(directory, name);
    await copyFile(paths[0]!, path);
    await expectError(openModel(path), "FILE_INVALID", path, "one of 3 parts", "-00001-of-00003.gguf");
  }
  await rename(paths[0]!, partPath(directory, "elsewhere", 0, 3));
  await expectError(openModel(partPath(directory, "elsewhere", 0, 3)), "FILE_NOT_FOUND", "elsewhere-00002-of-00003.gguf");
});
