import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { TokenizerClient } from "../../../../lib/text/tokenizer/tokenizer.ts";
import { workerUrl } from "../../../../lib/workers/worker-client.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";

describe.skipIf(!hasShared)("the tokenizer in its worker", () => {
  test("text comes back from its tokens", async () => {
    const tales = await TokenizerClient.open({ kind: "gguf", path: sharedPath("models", "tales", "tales-q4_0.gguf") });
    const spm = await TokenizerClient.open({ kind: "gguf", path: sharedPath("tokenizers", "vocab", "ggml-vocab-llama-spm.gguf") });
    for (const text of ["", " ", "  Once upon\n\n a time ", "é🙂\u200d", "\ufeffx", "\u0000", "<0x0A>▁x", "12345"]) {
      for (const tokenizer of [tales, spm])
        expect(await tokenizer.detokenize(await tokenizer.encode(text))).toBe(text.replaceAll("▁", tokenizer === spm ? " " : "▁"));
    }
    expect(await tales.encode("a\ud800b")).toEqual(await tales.encode("a\ufffdb"));
    expect(await tales.encodeChat({ text: "<|im_start|>", written: [[0, 12]] })).toEqual(Int32Array.of(1));
    await Promise.all([tales.close(), spm.close()]);
  });

  test("many calls at once, then close", async () => {
    const tokenizer = await TokenizerClient.open({ kind: "huggingface", directory: sharedPath("models", "tales") });
    const texts = Array.from({ length: 100 }, (_, i) => `Text ${i}.`);
    const all = await Promise.all(texts.map((text) => tokenizer.encode(text)));
    expect(await Promise.all(all.map((ids) => tokenizer.detokenize(ids)))).toEqual(texts);
    const late = expect(tokenizer.encode("x".repeat(1e6))).rejects.toMatchObject({ code: "CLOSED" });
    await tokenizer.close();
    await late;
    await expect(tokenizer.encode("x")).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("an idle worker lets the process end", async () => {
    const module = new URL("../text/tokenizer/tokenizer.js", workerUrl("tokenizer-worker")).href;
    const source = JSON.stringify({ kind: "huggingface", directory: sharedPath("models", "tales") });
    const program = `import { TokenizerClient } from ${JSON.stringify(module)}; const t = await TokenizerClient.open(${source}); console.log((await t.encode("Hi")).length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 100_000 });
    expect(Number(stdout)).toBeGreaterThan(0);
  });

  test("errors of the files reach the caller", async () => {
    await expect(TokenizerClient.open({ kind: "huggingface", directory: "/nowhere" })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    const path = sharedPath("fixtures", "gpt2", "model.gguf");
    await expect(TokenizerClient.open({ kind: "gguf", path })).rejects.toMatchObject({
      code: "UNSUPPORTED_TOKENIZER",
      message: expect.stringContaining('tokenizer.ggml.model is "none"'),
    });
  });
});
