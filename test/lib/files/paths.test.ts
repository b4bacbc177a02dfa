import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exists, fileSizeIfPresent, statIfPresent } from "../../../lib/files/paths.ts";
import { expectError } from "../../support/expect.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
writeFileSync(at("file"), "four");
mkdirSync(at("folder"));
symlinkSync("ring", at("ring"));
symlinkSync("gone", at("dangling"));

test.each(["nothing", "file/below", "n".repeat(256), "a\0b"])("nothing stands at %j, and nothing can't be seen there", async (name) => {
  expect([await exists(at(name)), await statIfPresent(at(name)), await fileSizeIfPresent(at(name))]).toEqual([false, undefined, undefined]);
});

test("what can't be seen is there, and why is said", async () => {
  expect(await exists(at("ring"))).toBe(true);
  await expectError(statIfPresent(at("ring")), "FILE_NOT_FOUND", at("ring"), "cannot be read: ELOOP");
});

test("a link to nothing is there, and can't be read", async () => {
  for (const sees of [statIfPresent, fileSizeIfPresent])
    await expectError(sees(at("dangling")), "FILE_NOT_FOUND", at("dangling"), "cannot be read: ENOENT");
});

test("a folder is no file", async () => {
  expect([await exists(at("folder")), await fileSizeIfPresent(at("file"))]).toEqual([true, 4]);
  await expectError(fileSizeIfPresent(at("folder")), "FILE_NOT_FOUND", at("folder"), "is a directory; expected a file");
});
