import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { memoryBytes } from "../../../../lib/api/memory.ts";
import { inspectionOf } from "../../../../lib/cli/inspect/inspection.ts";
import { showInspection } from "../../../../lib/cli/inspect/show.ts";
import { writeGguf, writeJson } from "../../../support/files.ts";
import { ggufModel, TINY, writeModel } from "../../../support/models.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import { LARGE, writeSparseLlama } from "../../../support/sparse-model.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const MAIN = fileURLToPath(new URL("../../../../dist/cli/main.js", import.meta.url));
const TALES = fileURLToPath(new URL("../../../../models/tales-q4_0.gguf", import.meta.url));
const scratch = temporaryDirectory();

function inspect(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, "inspect", ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe("kvasir inspect", () => {
  it("shows what a GGUF holds; --tensors lists all", async () => {
    const [plain, json] = await Promise.all([inspect("tales", "--tensors"), inspect("tales", "--tensors", "--json")]);
    expect([plain.code, plain.stderr, json.code]).toEqual([0, "", 0]);
    const found = JSON.parse(json.stdout);
    expect(found).toMatchObject({ format: "GGUF version 3", architecture: "llama", problems: [] });
    expect(found.settings["llama.block_count"]).toBe(12);
    expect(found.tokenizer).toMatchObject({
      kind: "gpt2",
      preTokenizer: "llama-bpe",
      vocabSize: 8192,
      bos: { id: 0, text: "<|endoftext|>" },
    });
    expect(found.tokenizer.ends).toContainEqual({ id: 2, text: "<|im_end|>" });
    expect(found.templates.default).toContain("messages[0].role");
    const [file] = found.files;
    expect(found.types.reduce((sum: number, { tensors }: { tensors: number }) => sum + tensors, 0)).toBe(file.tensors.length);
    expect(plain.stdout).toMatch(/^tokenizer {3}gpt2, pre-tokenizer llama-bpe, 8,192 tokens/m);
    for (const { name, type, offset } of file.tensors)
      expect(plain.stdout).toMatch(new RegExp(`^ {2}${name.replaceAll(".", "\\.")} +${type} \\[.* at ${offset}$`, "m"));
  });

  it.skipIf(!hasShared)("shows what a directory holds", async () => {
    const found = await inspectionOf(sharedPath("models", "tales"), false);
    expect(found).toMatchObject({
      format: "safetensors",
      architecture: "llama",
      settings: { hidden_size: 384 },
      types: [{ type: "BF16", tensors: 110, parameters: 22_029_696 }],
      tokenizer: { kind: "BPE", preTokenizer: "Split, ByteLevel", vocabSize: 8192 },
      problems: [],
    });
    expect(found.files[0]).not.toHaveProperty("tensors");
  });

  it("reads no more than headers: a model larger than the memory", async () => {
    const path = join(scratch, "large");
    const bytes = await writeSparseLlama(path, { ...LARGE, layers: Math.max(LARGE.layers, Math.ceil(memoryBytes() / 1.5e9)) });
    const found = await inspectionOf(path, false);
    expect(found).toMatchObject({ architecture: "llama", types: [{ type: "BF16", bytes }], tokenizer: undefined, problems: [] });
  });

  it("reads a file of tensors alone", async () => {
    const path = join(scratch, "tensors");
    await writeModel(path, TINY);
    const found = await inspectionOf(join(path, "model.safetensors"), true);
    expect([found.architecture, found.files[0]!.tensors!.length, found.problems]).toEqual([undefined, 21, []]);
    expect(showInspection(found)).toContain("runs        no model: tensors alone\n");
  });

  it("tells of what kvasir doesn't run all that it can, and why: it ends with 1", async () => {
    const { metadata, tensors } = ggufModel(TINY);
    const path = join(scratch, "other.gguf");
    const template = "a\n\u001b[31mb\nc\nd\ne";
    await writeGguf(path, { metadata: { ...metadata, "general.architecture": "other", "tokenizer.chat_template": template }, tensors });
    const { code, stdout, stderr } = await inspect(path);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^kvasir: UNSUPPORTED_MODEL .*other.*\n$/)]);
    expect(stdout).toContain("runs        no, see below\n");
    expect(stdout).toContain("F32  21 tensors");
    expect(stdout).toContain("\ntemplate default\n  a\n  \ufffd[31mb\n  c\n  d\n  ... 5 lines in all\n");
    expect(stdout).toMatch(/\nproblems\n {2}UNSUPPORTED_MODEL /);
  });

  it("no name makes a line of its own, in what is shown or in why it fails", async () => {
    const { metadata, tensors } = ggufModel(TINY);
    const [first, ...others] = tensors;
    const path = join(scratch, "names.gguf");
    const forged = "x\nproblems\u009b31m";
    await writeGguf(path, {
      metadata: { ...metadata, [`general.${forged}`]: 1, "general.architecture": forged },
      tensors: [{ ...first!, name: forged }, ...others],
    });
    const { code, stdout, stderr } = await inspect(path, "--tensors");
    expect(code).toBe(1);
    expect(stdout.match(/^problems/gm)).toEqual(["problems"]);
    expect([stdout.includes("x problems\ufffd31m "), stdout.includes("general.x problems\ufffd31m ")]).toEqual([true, true]);
    expect(stderr.match(/\n/g)).toEqual(["\n"]);
    expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it("tells of a tokenizer that can't be opened", async () => {
    const path = join(scratch, "words");
    await writeModel(path, TINY);
    await writeJson(join(path, "tokenizer.json"), { model: { type: "WordPiece", vocab: {} } });
    const found = await inspectionOf(path, false);
    expect(found).toMatchObject({ architecture: "llama", tokenizer: undefined, problems: [{ code: "UNSUPPORTED_TOKENIZER" }] });
  });

  it("says where a GGUF is cut short, wherever that is", async () => {
    const whole = readFileSync(TALES);
    const path = join(scratch, "cut.gguf");
    const header = (await inspectionOf(TALES, true)).files[0]!.tensors![0]!.offset;
    const lengths = [...Array.from({ length: 60 }, (_, i) => Math.floor((i * header) / 60)), header, whole.length - 1];
    for (const length of lengths.filter((length) => length > 4)) {
      writeFileSync(path, whole.subarray(0, length));
      const error = { code: "FILE_INVALID", message: expect.stringMatching(/cut\.gguf: .*(at byte|bytes? from|bytes left|\d left)/) };
      await expect(inspectionOf(path, false), String(length)).rejects.toMatchObject(error);
    }
    const { code, stdout, stderr } = await inspect(path);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^kvasir: FILE_INVALID .*cut\.gguf: tensor "[\w.]+" takes \d+ bytes from \d+ on, but the file has \d+: it was cut short\n$/,
    );
  });

  it.each([
    [
      "model.safetensors",
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 4),
      /model\.safetensors: tensor "[\w.]+" ends at byte \d+ of \d+/,
    ],
    ["model.safetensors", (bytes: Buffer) => Buffer.concat([Buffer.alloc(8, 0x11), bytes]), /model\.safetensors: the/],
    ["config.json", () => Buffer.from('{"model_type": "llama",\n"hidden_size": }'), /config\.json.*(line|position|byte|character)/],
  ])("says where %s of a directory is broken", async (name, change, message) => {
    const path = join(scratch, `broken-${name}-${message.source.length}`);
    mkdirSync(path);
    await writeModel(path, TINY);
    writeFileSync(join(path, name), change(readFileSync(join(path, name))));
    await expect(inspectionOf(path, false)).rejects.toMatchObject({ code: "FILE_INVALID", message: expect.stringMatching(message) });
  });

  it.each([
    [2, "INVALID_ARGUMENT inspect needs one MODEL", []],
    [1, "FILE_NOT_FOUND", [join(scratch, "absent.gguf")]],
    [1, "OFFLINE org/absent is a name on the hub", ["org/absent"]],
  ])("ends with %i and one line: %s", async (code, line, args) => {
    const result = await inspect(...args);
    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(/^kvasir: .*\n$/) });
    expect(result.stderr).toContain(line);
  });
});
