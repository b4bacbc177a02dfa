import { Tokenizer as Pipeline } from "@huggingface/tokenizers";
import { KvasirError } from "../../errors.ts";
import { type AddedToken, type Codec, type EncodeOptions, TokenSplitter } from "./codec.ts";
import { endTokensOf } from "./ends.ts";
import { pieceConverter } from "./piece-converter.ts";
import type { Affixes } from "./post-processor.ts";
import type { AddedTokenJson, ComponentJson, TokenizerJson } from "./tokenizer-json.ts";
import { buildVocabulary, type Vocabulary } from "./vocabulary.ts";

/** What a {@link HuggingFaceCodec} is made of. */
export interface HuggingFaceParts {
  json: TokenizerJson;
  affixes: Affixes;
  /** The texts of BOS and EOS; "" if there is none. */
  bosText: string;
  eosText: string;
  /** Names the tokenizer in messages. */
  file: string;
}

/**
 * A tokenizer.json by Hugging Face's library. Three pipelines share one model, which is nearly all of the memory: all tokens parsed,
 * special ones not parsed, and the same for text that continues a sequence, before which no prefix space stands.
 */
export class HuggingFaceCodec implements Codec {
  readonly vocabulary: Vocabulary;
  readonly specials: TokenSplitter;
  readonly #affixes: Affixes;
  readonly #full: Pipeline;
  readonly #plain: Pipeline;
  readonly #continuation: Pipeline;

  constructor({ json, affixes, bosText, eosText, file }: HuggingFaceParts) {
    const special = json.added_tokens.filter((token) => token.special === true);
    const others = json.added_tokens.filter((token) => token.special !== true);
    const source = { ...json, pre_tokenizer: modernized(json.pre_tokenizer), model: withoutSpecials(json.model, special) };
    this.#full = pipeline(source, file);
    hideSpecials(this.#full, special);
    const shell = { ...source, added_tokens: others, model: { ...json.model, vocab: {}, merges: [] } };
    this.#plain = pipeline(shell, file, this.#full.model);
    this.#continuation = pipeline({ ...shell, pre_tokenizer: continuing(source.pre_tokenizer) }, file, this.#full.model);
    this.#affixes = affixes;
    this.specials = new TokenSplitter(special.map(addedToken));
    this.vocabulary = vocabularyOf(json, affixes, { bosText, eosText, file });
  }

  encode(text: string, { addSpecial, parseSpecial }: Required<EncodeOptions>): number[] {
    const ids = run(parseSpecial ? this.#full : this.#plain, text);
    return addSpecial ? [...this.#affixes.before, ...ids, ...this.#affixes.after] : ids;
  }

  encodePlain(text: string, first: boolean): number[] {
    return run(first ? this.#plain : this.#continuation, text);
  }
}

function run(tokenizer: Pipeline, text: string): number[] {
  return tokenizer.encode(text, { add_special_tokens: false }).ids;
}

/** The library's pipeline without its decoder and post-processor, which kvasir does itself. */
function pipeline(json: TokenizerJson, file: string, model?: Pipeline["model"]): Pipeline {
  try {
    const made = new Pipeline({ ...json, decoder: null, post_processor: null }, {});
    if (model !== undefined) made.model = model;
    return made;
  } catch (cause) {
    throw new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: ${(cause as Error).message}`, { cause });
  }
}

/** The model without merges that end in a special token's text: ordinary text must not become control by being merged. */
function withoutSpecials(model: TokenizerJson["model"], special: AddedTokenJson[]): TokenizerJson["model"] {
  const texts = new Set(special.map(({ content }) => content));
  const pairs = model.merges.map((merge) => (typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge));
  return { ...model, merges: pairs.filter(([left, right]) => !texts.has(left + right)) };
}

/** `ignore_merges` looks whole words up in the vocabulary: special tokens' texts are removed, but for single characters, which have no other token. */
function hideSpecials({ model }: Pipeline, special: AddedTokenJson[]): void {
  for (const { content } of special) if ([...content].length > 1) model?.tokens_to_ids.delete(content);
}

/** Metaspace in today's dialect, the only one that the library reads. */
function modernized(component: ComponentJson | null): ComponentJson | null {
  return mapMetaspace(component, (step) => (step.add_prefix_space === false ? { prepend_scheme: "never", ...step } : step));
}

/** The pre-tokenizer for text that does not start the sequence: `first` puts no space before it. */
function continuing(component: ComponentJson | null): ComponentJson | null {
  return mapMetaspace(component, (step) => (step.prepend_scheme === "first" ? { ...step, prepend_scheme: "never" } : step));
}

function mapMetaspace(component: ComponentJson | null, change: (step: ComponentJson) => ComponentJson): ComponentJson | null {
  if (component?.type === "Metaspace") return change(component);
  const parts = component?.pretokenizers;
  if (component?.type !== "Sequence" || !Array.isArray(parts)) return component;
  return { ...component, pretokenizers: parts.map((part: ComponentJson) => mapMetaspace(part, change)) };
}

function addedToken({ id, content, lstrip, rstrip }: AddedTokenJson): AddedToken {
  return { id, text: content, special: true, lstrip: lstrip === true, rstrip: rstrip === true };
}

function vocabularyOf(
  json: TokenizerJson,
  affixes: Affixes,
  { bosText, eosText, file }: Omit<HuggingFaceParts, "json" | "affixes">,
): Vocabulary {
  const converter = pieceConverter(json.decoder, file);
  const pieces: (Uint8Array | undefined)[] = [];
  const ids = new Map(Object.entries(json.model.vocab));
  for (const [piece, id] of ids) pieces[id] = converter.bytesOf(piece);
  for (const { id, content, special } of json.added_tokens) {
    ids.set(content, id);
    pieces[id] = converter.convertsAdded && special !== true ? converter.bytesOf(content) : Buffer.from(content);
  }
  const idOf = (text: string): number => (text === "" ? -1 : (ids.get(text) ?? -1));
  const stray = [...affixes.before, ...affixes.after].find((id) => pieces[id] === undefined);
  if (stray !== undefined)
    throw new KvasirError("FILE_INVALID", `${file}: the post-processor adds token ${stray}, which is not in the vocabulary`);
  const specialIds = json.added_tokens.filter(({ special }) => special === true).map(({ id }) => id);
  const bosToken = idOf(bosText);
  const addsBos = bosToken >= 0 && affixes.before[0] === bosToken;
  const eosToken = idOf(eosText);
  return buildVocabulary(pieces, specialIds, {
    bosToken,
    eosToken,
    endTokens: endTokensOf(eosToken, (text) => ids.get(text)),
    addsBos,
    prefixSpace: converter.prefixSpace,
    bosText,
    eosText,
  });
}
