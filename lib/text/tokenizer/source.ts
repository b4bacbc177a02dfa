import { basename, join } from "node:path";
import { emitWarning, KvasirError, show, type Warn } from "../../errors.ts";
import { readGguf } from "../../files/gguf.ts";
import { readJson, readJsonIfPresent } from "../../files/json.ts";
import type { TokenizerSource } from "../../model/spec.ts";
import type { Codec } from "./codec.ts";
import { withSpecialEnds } from "./ends.ts";
import { ggufCodec } from "./gguf-tokenizer.ts";
import { HuggingFaceCodec } from "./huggingface.ts";
import { configuredAffixes, postProcessorAffixes } from "./post-processor.ts";
import { REFUSALS } from "./refusals.ts";
import { checkTokenizerJson, type TokenizerJson } from "./tokenizer-json.ts";

/** What a tokenizer reads of the long arrays in a GGUF. */
const ARRAYS: ReadonlySet<string> = new Set(["tokens", "token_type", "scores", "merges"].map((name) => `tokenizer.ggml.${name}`));

/** Reads a tokenizer from its files. */
export async function openCodec(source: TokenizerSource, warn: Warn = emitWarning): Promise<Codec> {
  if (source.kind === "huggingface") return openHuggingFace(source, warn);
  const { metadata } = await readGguf(source.path, ARRAYS);
  return ggufCodec(metadata, basename(source.path));
}

async function openHuggingFace(source: TokenizerSource & { kind: "huggingface" }, warn: Warn): Promise<Codec> {
  const { directory, endTokens = [] } = source;
  const file = join(directory, "tokenizer.json");
  const json = checkTokenizerJson(await readJson(file, warn), file);
  const configFile = join(directory, "tokenizer_config.json");
  const config = source.config ?? (await readJsonIfPresent(configFile, warn)) ?? {};
  const processed = postProcessorAffixes(json, file);
  const bosText = tokenText(config.bos_token, "bos_token", directory) ?? addedText(json, processed.before[0]);
  const eosText = tokenText(config.eos_token, "eos_token", directory) ?? "";
  const affixes = configuredAffixes(json, processed, { config, bosText, eosText, file: configFile });
  const codec = new HuggingFaceCodec({ json: withSpecialEnds(json, eosText, endTokens), affixes, bosText, eosText, file });
  if (codec.missing !== undefined) {
    const message = `${file}: the vocabulary has no token for ${codec.missing}: ${REFUSALS.losesText}`;
    throw new KvasirError("UNSUPPORTED_TOKENIZER", message);
  }
  return codec;
}

/** A token in tokenizer_config.json: its text, or an object that has it as `content`. */
function tokenText(value: unknown, name: string, directory: string): string | undefined {
  const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
  if (text === undefined || text === null) return undefined;
  if (typeof text === "string") return text;
  throw new KvasirError("FILE_INVALID", `${join(directory, "tokenizer_config.json")}: ${name} is ${show(value)}; expected a text`);
}

function addedText(json: TokenizerJson, id: number | undefined): string {
  return json.added_tokens.find((token) => token.id === id)?.content ?? "";
}
