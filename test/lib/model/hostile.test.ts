import { chmodSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { limitOf, MAX_TEMPLATE, PARSED_AT_ONCE } from "../../../lib/files/limits.ts";
import { type Findings, INSPECTIONS } from "../../../lib/model/inspect.ts";
import { checkRuns, openModel, openText, shardsIn } from "../../../lib/model/open.ts";
import { expectError } from "../../support/expect.ts";
import { safetensorsBytes, safetensorsHeader, writeJson } from "../../support/files.ts";
import { configOf, huggingFaceTensors, TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { byteLevelJson } from "../../support/tokenizer-json.ts";

const directory = join(temporaryDirectory(), "model");
const at = (name: string): string => join(directory, name);
const silent = (): void => {};

beforeEach(async () => {
  rmSync(directory, { recursive: true, force: true });
  await writeModel(directory, TINY);
  await writeJson(at("tokenizer.json"), byteLevelJson());
});

/** JSON of so many bytes, about, that is far larger in memory. */
const brackets = (bytes: number): string => `[${"{},".repeat(bytes / 3)}0]`;

/** The weights, with what a header may have beside them. */
function writeHeader(metadata: string): void {
  const tensors = huggingFaceTensors(TINY);
  const header = `${JSON.stringify(safetensorsHeader(tensors)).slice(0, -1)},"__metadata__":${metadata}}`;
  writeFileSync(
    at("model.safetensors"),
    safetensorsBytes(
      header,
      tensors.map(({ data }) => data!),
    ),
  );
}

/** The weights under an index of so many tensors, one file each, which are not there. */
async function writeIndex(tensors: number): Promise<string[]> {
  rmSync(at("model.safetensors"));
  const names = Array.from({ length: tensors }, (_, i) => `model-${i}.safetensors`);
  await writeJson(at("model.safetensors.index.json"), { weight_map: Object.fromEntries(names.map((name, i) => [`t${i}`, name])) });
  return names;
}

/** Runs what root must not: it may read everything. */
async function asNobody(run: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid!() === 0;
  if (isRoot) process.seteuid!(65534);
  try {
    await run();
  } finally {
    if (isRoot) process.seteuid!(0);
  }
}

const SETTINGS = ["config.json", "generation_config.json", "tokenizer_config.json", "model.safetensors.index.json"];

describe("a file that is larger than any of its kind is refused unread", () => {
  test.each([...SETTINGS, "chat_template.json"])("%s", async (name) => {
    if (name.endsWith("index.json")) rmSync(at("model.safetensors"));
    const { bytes } = limitOf(name);
    writeFileSync(at(name), "{}");
    truncateSync(at(name), bytes + 1);
    await expectError(openModel(directory), "FILE_INVALID", at(name), `has ${bytes + 1} bytes; expected at most ${bytes}`);
  });

  test("chat_template.jinja, and a template in a setting", async () => {
    writeFileSync(at("chat_template.jinja"), "x".repeat(MAX_TEMPLATE + 1));
    await expectError(openModel(directory), "FILE_INVALID", "chat_template.jinja", `expected at most ${MAX_TEMPLATE}`);
    rmSync(at("chat_template.jinja"));
    await writeJson(at("tokenizer_config.json"), { chat_template: "x".repeat(MAX_TEMPLATE + 1) });
    await expectError(openText(directory), "FILE_INVALID", "tokenizer_config.json: chat_template has 262145 characters");
  });
});

describe("a file whose values take more memory than any of its kind is refused", () => {
  test.each(SETTINGS)("%s", async (name) => {
    if (name.endsWith("index.json")) rmSync(at("model.safetensors"));
    writeFileSync(at(name), `{"x":${brackets(Math.min(limitOf(name).bytes - 100, 2_200_000))}}`);
    await expectError(openModel(directory, silent), "FILE_INVALID", at(name), "more values than", "bytes of memory");
  });

  test("the header of a safetensors file", async () => {
    writeHeader(brackets(2_200_000));
    await expectError(openModel(directory), "FILE_INVALID", "model.safetensors", "more values than");
  });
});

describe("what takes long to parse is read in a thread, and found as it is here", () => {
  const long = "x".repeat(PARSED_AT_ONCE);

  test.each<[string, () => void | Promise<void>]>([
    ["config.json", () => writeJson(at("config.json"), { ...configOf(TINY), long })],
    ["generation_config.json", () => writeJson(at("generation_config.json"), { temperature: 0.5, long })],
    ["tokenizer_config.json", () => writeJson(at("tokenizer_config.json"), { chat_template: "t", long })],
    ["a header", () => writeHeader(JSON.stringify({ long }))],
  ])("%s", async (_, write) => {
    await write();
    expect(await openModel(directory)).toEqual(await INSPECTIONS.model(directory, silent));
    expect(await openText(directory)).toEqual(await INSPECTIONS.text(directory, silent));
  });

  test("the names of shards; whether it runs", async () => {
    expect(await shardsIn(directory).catch(({ code }) => code)).toBe("FILE_NOT_FOUND");
    const names = await writeIndex(PARSED_AT_ONCE / 16);
    expect(await shardsIn(directory)).toEqual(names);
    await expect(checkRuns(directory)).resolves.toBeUndefined();
    await writeJson(at("config.json"), { ...configOf(TINY), model_type: "mamba" });
    await expectError(checkRuns(directory), "UNSUPPORTED_MODEL", '"mamba"');
  });

  test("what is irregular is told here, and what the receiver throws comes through", async () => {
    writeFileSync(at("config.json"), JSON.stringify({ ...configOf(TINY), long }).replace("{", '{"initializer_range": NaN,'));
    const told: string[] = [];
    await openModel(directory, ({ code, message }) => told.push(`${code}: ${message}`));
    expect(told).toEqual([expect.stringMatching(/^KVASIR_FILE_IRREGULAR: .*config\.json has NaN/)]);
    const stop = (): never => {
      throw new Error("stop");
    };
    await expect(openModel(directory, stop)).rejects.toThrow("stop");
  });

  test.each<keyof Findings>(["model", "text", "runs", "shards"])(
    "%s of a directory where it is wrong: the same error",
    async (question) => {
      for (const name of SETTINGS) writeFileSync(at(name), `[${JSON.stringify(long)}]`);
      rmSync(at("model.safetensors"));
      const ask = { model: openModel, text: openText, runs: checkRuns, shards: shardsIn }[question];
      const here = await INSPECTIONS[question](directory, silent).catch((error) => error);
      await expectError(ask(directory), here.code, here.message);
    },
  );
});

describe("what can't be read is said with the system's reason", () => {
  test("a ring of links", async () => {
    rmSync(at("config.json"));
    symlinkSync("config.json", at("config.json"));
    await expectError(openModel(directory), "FILE_NOT_FOUND", at("config.json"), "cannot be read: ELOOP");
    symlinkSync("ring", at("ring"));
    await expectError(openModel(at("ring")), "FILE_NOT_FOUND", "cannot be read: ELOOP");
    symlinkSync("additional_chat_templates", at("additional_chat_templates"));
    await expectError(openText(directory), "FILE_NOT_FOUND", "cannot be read: ELOOP");
  });

  test("a directory in a file's place", async () => {
    rmSync(at("config.json"));
    mkdirSync(at("config.json"));
    await expectError(openModel(directory), "FILE_NOT_FOUND", `${at("config.json")} is a directory; expected a file`);
  });

  test("no right to read", async () => {
    chmodSync(directory, 0);
    await asNobody(async () => {
      await expectError(openModel(directory), "FILE_NOT_FOUND", directory, "cannot be read: EACCES");
      await expectError(openModel(at("config.json")), "FILE_NOT_FOUND", at("config.json"), "cannot be read: EACCES");
    });
    chmodSync(directory, 0o700);
  });

  test("what isn't there", async () => {
    await expectError(openModel(at("absent")), "FILE_NOT_FOUND", `${at("absent")} does not exist`);
    rmSync(at("config.json"));
    await expectError(openModel(directory), "FILE_NOT_FOUND", `${at("config.json")} does not exist`);
  });
});
