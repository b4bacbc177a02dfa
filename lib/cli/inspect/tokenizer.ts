import { join } from "node:path";
import { emitWarning } from "../../errors.ts";
import { readFirstPart } from "../../files/gguf-parts.ts";
import { isJsonObject, type JsonValue, readJson } from "../../files/json.ts";
import type { TokenizerSource } from "../../model/spec.ts";
import { TokenizerClient } from "../../text/tokenizer/tokenizer.ts";
import { tokenBytes } from "../../text/tokenizer/vocabulary.ts";

/** A token, and what its bytes are as text. */
interface TokenText {
  id: number;
  text: string;
}

/** What a tokenizer is. */
export interface TokenizerFacts {
  /** As its file calls it: "gpt2" and "llama" in GGUF, "BPE" in tokenizer.json. */
  kind: string;
  /** How it cuts text into words, by the file's names; `undefined` if the file says nothing. */
  preTokenizer: string | undefined;
  vocabSize: number;
  addsBos: boolean;
  bos: TokenText | undefined;
  /** Tokens that end a text, as the tokenizer knows them. */
  ends: TokenText[];
}

/** Opens a tokenizer and describes it. `ends` are those that configs name. */
export async function describeTokenizer(source: TokenizerSource, ends: readonly number[]): Promise<TokenizerFacts> {
  const named = source.kind === "gguf" ? await namesOfGguf(source.path) : await namesOfJson(join(source.directory, "tokenizer.json"));
  const tokenizer = await TokenizerClient.open(source, { warn: emitWarning });
  const { vocabulary } = tokenizer;
  await tokenizer.close();
  const { size, addsBos, bosToken, endTokens } = vocabulary;
  const textOf = (id: number): TokenText => ({ id, text: Buffer.from(tokenBytes(vocabulary, id)).toString() });
  return {
    ...named,
    vocabSize: size,
    addsBos,
    bos: bosToken < 0 ? undefined : textOf(bosToken),
    ends: [...new Set([...ends, ...endTokens])].map(textOf),
  };
}

async function namesOfGguf(path: string): Promise<Pick<TokenizerFacts, "kind" | "preTokenizer">> {
  const { metadata } = await readFirstPart(path);
  const pre = metadata.get("tokenizer.ggml.pre");
  return { kind: String(metadata.get("tokenizer.ggml.model")), preTokenizer: pre === undefined ? undefined : String(pre) };
}

async function namesOfJson(path: string): Promise<Pick<TokenizerFacts, "kind" | "preTokenizer">> {
  const { model, pre_tokenizer: pre } = await readJson(path, () => {});
  return { kind: typesIn(model ?? null) ?? "unknown", preTokenizer: typesIn(pre ?? null) };
}

/** The type of a component of tokenizer.json; of a sequence those of its parts. */
function typesIn(component: JsonValue): string | undefined {
  if (!isJsonObject(component) || typeof component.type !== "string") return undefined;
  const parts = component.type === "Sequence" ? component.pretokenizers : undefined;
  return Array.isArray(parts) ? parts.map((part) => typesIn(part) ?? "unknown").join(", ") : component.type;
}
