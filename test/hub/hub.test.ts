import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { decodeTokens } from "../../lib/text/output/detokenizer.ts";
import type { Codec } from "../../lib/text/tokenizer/codec.ts";
import { openCodec } from "../../lib/text/tokenizer/source.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { tokenizerVectors } from "../support/tokenizer-vectors.ts";

const modules = fileURLToPath(new URL("./node_modules/", import.meta.url));
const available = hasShared && existsSync(modules);
if (!available) console.warn("test/hub is skipped: it needs ../shared and `npm ci` in test/hub (700 MB)");

interface HubCase {
  text: string;
  ids: number[];
  decoded?: string;
  fromGgufMayDiffer?: boolean;
}
interface HubTokenizer {
  package: string;
  file: string;
  pre: string | null;
  withSpecial: { text: string; ids: number[] };
  cases: HubCase[];
}

const hub: Record<string, HubTokenizer> = available ? JSON.parse(readFileSync(sharedPath("tokenizers", "hub", "cases.json"), "utf8")) : {};
const names = Object.keys(hub);
/** Vectors of llama.cpp that fit these tokenizers, by its name of the pre-tokenizer. */
const VECTORS = ["qwen2", "llama-bpe"];

const temporary = mkdtempSync(join(tmpdir(), "kvasir-hub-"));
afterAll(() => rmSync(temporary, { recursive: true }));

function jsonPath({ package: name, file }: HubTokenizer): string {
  return join(modules, name.slice(0, name.lastIndexOf("@")), file);
}

function makeGguf(name: string): string {
  const path = join(temporary, `${name}.gguf`);
  execFileSync(process.execPath, [sharedPath("tokenizers", "hub", "make_gguf.mjs"), jsonPath(hub[name]!), hub[name]!.pre!, path]);
  return path;
}

/** detokenize leaves out the BOS that the tokenizer adds, and with it the prefix space after it. */
function decodedText({ text, decoded }: HubCase, { vocabulary }: Codec, ids: number[]): string {
  const whole = decoded ?? text;
  if (!vocabulary.addsBos || ids[0] !== vocabulary.bosToken) return whole;
  const rest = whole.slice(vocabulary.bosText.length);
  return vocabulary.prefixSpace && rest.startsWith(" ") ? rest.slice(1) : rest;
}

function checkVectors(codec: Codec, pre: string | null): void {
  if (pre === null || !VECTORS.includes(pre)) return;
  for (const { text, ids } of tokenizerVectors(pre)) {
    expect(codec.encode(text, { addSpecial: false, parseSpecial: false }), JSON.stringify(text)).toEqual(ids);
  }
}

describe.skipIf(!available)("tokenizers of published models", () => {
  test.each(names)("%s: tokenizer.json", { timeout: 60_000 }, async (name) => {
    const { cases, withSpecial, pre } = hub[name]!;
    const codec = await openCodec({ kind: "huggingface", directory: dirname(jsonPath(hub[name]!)) });
    // The Rust library knows no tokenizer_config.json, which has DeepSeek's LlamaTokenizerFast add BOS.
    const before = name === "deepseek_v3" ? [codec.vocabulary.bosToken] : [];
    expect(codec.encode(withSpecial.text, { addSpecial: true, parseSpecial: true })).toEqual([...before, ...withSpecial.ids]);
    for (const example of cases) {
      const ids = codec.encode(example.text, { addSpecial: false, parseSpecial: true });
      expect(ids, JSON.stringify(example.text)).toEqual(example.ids);
      expect(await decodeTokens(codec.vocabulary, ids)).toBe(decodedText(example, codec, ids));
    }
    checkVectors(codec, pre);
  });

  test.each(names.filter((name) => hub[name]!.pre !== null))("%s: as GGUF", { timeout: 60_000 }, async (name) => {
    const { cases, pre } = hub[name]!;
    const codec = await openCodec({ kind: "gguf", path: makeGguf(name) });
    const encode = (text: string): number[] => codec.encode(text, { addSpecial: false, parseSpecial: true });
    for (const { text } of cases) expect(await decodeTokens(codec.vocabulary, encode(text))).toBe(text);
    const differing = cases.filter(({ text, ids }) => !isDeepStrictEqual(encode(text), ids));
    const may = cases.filter(({ fromGgufMayDiffer }) => fromGgufMayDiffer);
    console.log(`${name} as GGUF: ${cases.length - differing.length} of ${cases.length} texts have the same ids, ${may.length} may differ`);
    expect(differing.filter((example) => !may.includes(example)).map(({ text }) => text)).toEqual([]);
    checkVectors(codec, pre);
  });
});
