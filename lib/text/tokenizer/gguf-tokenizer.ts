import { KvasirError, show } from "../../errors.ts";
import type { GgufValue } from "../../files/gguf.ts";
import { byteTokenTable, byteTokenValue } from "./byte-level.ts";
import type { Codec } from "./codec.ts";
import { endTokensOf, isWellKnownEnd } from "./ends.ts";
import { GGUF_PRE_TOKENIZERS } from "./gguf-pre-tokenizers.ts";
import { HuggingFaceCodec } from "./huggingface.ts";
import type { Affixes } from "./post-processor.ts";
import { SentencePieceCodec } from "./sentencepiece.ts";
import type { AddedToken } from "./token-splitter.ts";
import { type AddedTokenJson, MAX_MERGES, type TokenizerJson } from "./tokenizer-json.ts";
import { buildVocabulary } from "./vocabulary.ts";

/** Values of `tokenizer.ggml.token_type`. */
const TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The tokenizer that a GGUF file's metadata describes. `file` names it in messages. */
export function ggufCodec(metadata: ReadonlyMap<string, GgufValue>, file: string): Codec {
  const fields = new Fields(metadata, file);
  const model = metadata.get("tokenizer.ggml.model");
  if (model === "gpt2") return byteLevelCodec(fields);
  if (model === "llama") return sentencePieceCodec(fields);
  throw fields.unsupported("model", '"gpt2" and "llama"');
}

function byteLevelCodec(fields: Fields): Codec {
  const pre = GGUF_PRE_TOKENIZERS.get(String(fields.get("pre")));
  // Nor is a missing one taken for "default", as llama.cpp does with a warning: that is the rule of none of the models that lack it.
  if (pre === undefined) throw fields.unsupported("pre", [...GGUF_PRE_TOKENIZERS.keys()].sort().join(", "));
  const tokens = fields.tokens();
  const vocab = new Map<string, number>();
  tokens.forEach(({ text, type }, id) => {
    if (type !== TYPE.control && type !== TYPE.userDefined) vocab.set(text, id);
  });
  const json: TokenizerJson = {
    added_tokens: addedTokens(tokens).map(addedTokenJson),
    normalizer: null,
    pre_tokenizer: pre.split,
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: fields.merges(vocab), ignore_merges: pre.ignoresMerges },
  };
  const bos = fields.token("bos_token_id", -1, tokens.length);
  const eos = fields.token("eos_token_id", -1, tokens.length);
  const affixes = fields.affixes(bos, eos, pre.addsBos);
  return new HuggingFaceCodec({ json, affixes, bosText: tokens[bos]?.text ?? "", eosText: tokens[eos]?.text ?? "", file: fields.file });
}

function addedTokenJson({ id, text, special }: AddedToken): AddedTokenJson {
  return { id, content: text, special, normalized: false };
}

function sentencePieceCodec(fields: Fields): Codec {
  const tokens = fields.tokens();
  const scores = fields.scores(tokens.length);
  const pieces = new Map<string, { id: number; score: number }>();
  tokens.forEach(({ text, type }, id) => {
    if (type === TYPE.normal && text !== "") pieces.set(text, { id, score: scores[id]! });
  });
  // llama.cpp's ids where the file gives none.
  const [bos, eos, unknown] = [
    fields.token("bos_token_id", 1, tokens.length),
    fields.token("eos_token_id", 2, tokens.length),
    fields.token("unknown_token_id", 0, tokens.length),
  ];
  const affixes = fields.affixes(bos, eos, true);
  const added = addedTokens(tokens);
  const addSpacePrefix = fields.flag("add_space_prefix", true);
  const vocabulary = buildVocabulary(
    tokens.map((token, id) => sentencePieceBytes(token, id, fields)),
    added.filter(({ special }) => special).map(({ id }) => id),
    {
      bosToken: bos,
      eosToken: eos,
      endTokens: endTokensOf(eos, textIds(tokens)),
      addsBos: affixes.before.length > 0,
      prefixSpace: addSpacePrefix,
      bosText: tokens[bos]?.text ?? "",
      eosText: tokens[eos]?.text ?? "",
    },
  );
  const byteTokens = byteTokenTable(tokens.flatMap(({ text, type }, id) => (type === TYPE.byte ? [[text, id] as [string, number]] : [])));
  return new SentencePieceCodec({ vocabulary, affixes, pieces, byteTokens, unknownToken: unknown, addedTokens: added, addSpacePrefix });
}

function sentencePieceBytes({ text, type }: GgufToken, id: number, { file }: Fields): Uint8Array {
  if (type === TYPE.normal || type === TYPE.unused) return Buffer.from(text.replaceAll("▁", " "));
  if (type !== TYPE.byte) return Buffer.from(text);
  const byte = byteTokenValue(text);
  if (byte === undefined)
    throw new KvasirError("FILE_INVALID", `${file}: token ${id} is ${show(text)} and of type byte; expected <0x00> to <0xFF>`);
  return Uint8Array.of(byte);
}

/** Tokens that are found whole in the text; control tokens and the unknown token are special. */
function addedTokens(tokens: GgufToken[]): AddedToken[] {
  return tokens.flatMap(({ text, type }, id) => {
    const special = type === TYPE.control || type === TYPE.unknown;
    if (text === "" || (!special && type !== TYPE.userDefined)) return [];
    return [{ id, text, special, singleWord: false, lstrip: false, rstrip: false }];
  });
}

function textIds(tokens: readonly GgufToken[]): (text: string) => number | undefined {
  const ids = new Map(tokens.map(({ text }, id) => [text, id]));
  return (text) => ids.get(text);
}

/** Single characters are text, whatever the metadata names: nothing else could write them. */
function isMarkup(text: string): boolean {
  return [...text].length > 1;
}

interface GgufToken {
  text: string;
  /** As in the file, but for {@link Fields.tokens}. */
  type: number;
}

/** Typed reads of `tokenizer.ggml.*`. */
class Fields {
  readonly file: string;
  readonly #metadata: ReadonlyMap<string, GgufValue>;

  constructor(metadata: ReadonlyMap<string, GgufValue>, file: string) {
    this.#metadata = metadata;
    this.file = file;
  }

  get(name: string): GgufValue | undefined {
    return this.#metadata.get(`tokenizer.ggml.${name}`);
  }

  flag(name: string, absent: boolean): boolean {
    const value = this.get(name) ?? absent;
    if (typeof value !== "boolean") throw this.#invalid(name, value, "true or false");
    return value;
  }

  /** A token id; where the key is absent, or names no token, the default, if there is such a token, else -1. */
  token(name: string, absent: number, size: number): number {
    const value = this.get(name);
    if (value !== undefined && (typeof value !== "number" || !Number.isInteger(value))) throw this.#invalid(name, value, "a whole number");
    if (value !== undefined && value >= 0 && value < size) return value;
    return absent < size ? absent : -1;
  }

  /** Tokens that begin or end a text or turn are control tokens, whatever the file says of them: some converters type them otherwise. */
  tokens(): GgufToken[] {
    const texts = this.#array("tokens", "string", undefined) as string[];
    const types = (
      this.get("token_type") === undefined ? texts.map(() => TYPE.normal) : this.#array("token_type", "number", texts.length)
    ) as number[];
    const named = new Set(["bos", "eos", "eot", "eom"].map((name) => this.token(`${name}_token_id`, -1, texts.length)));
    return texts.map((text, id) => {
      const isControl = types[id] !== TYPE.byte && (isWellKnownEnd(text) || (named.has(id) && isMarkup(text)));
      return { text, type: isControl ? TYPE.control : types[id]! };
    });
  }

  scores(size: number): number[] {
    return this.#array("scores", "number", size) as number[];
  }

  /** Those of tokens of the vocabulary: others, control tokens among them, are none that text is merged into. */
  merges(vocab: ReadonlyMap<string, number>): [string, string][] {
    const pairs = (this.#array("merges", "string", undefined) as string[]).map((merge, i): [string, string] => {
      const space = merge.indexOf(" ", 1);
      if (space < 1 || space === merge.length - 1) throw this.#invalid(`merges[${i}]`, merge, "two tokens and a space between them");
      return [merge.slice(0, space), merge.slice(space + 1)];
    });
    return pairs.filter(([left, right]) => vocab.has(left) && vocab.has(right) && vocab.has(left + right));
  }

  affixes(bos: number, eos: number, addsBos: boolean): Affixes {
    return {
      before: this.flag("add_bos_token", addsBos) && bos >= 0 ? [bos] : [],
      after: this.flag("add_eos_token", false) && eos >= 0 ? [eos] : [],
    };
  }

  unsupported(name: string, known: string): KvasirError {
    const value = this.get(name);
    const found = value === undefined ? "missing" : show(value);
    return new KvasirError("UNSUPPORTED_TOKENIZER", `${this.file}: tokenizer.ggml.${name} is ${found}; kvasir reads ${known}`);
  }

  #array(name: string, type: "string" | "number", length: number | undefined): GgufValue {
    const value = this.get(name);
    if (!Array.isArray(value) || (value as unknown[]).some((element) => typeof element !== type))
      throw this.#invalid(name, value, `an array of ${type}s`);
    if (value.length > MAX_MERGES) throw this.#invalid(`the length of ${name}`, value.length, `at most ${MAX_MERGES}`);
    if (length !== undefined && value.length !== length)
      throw this.#invalid(`the length of ${name}`, value.length, `${length}, one for each token`);
    return value;
  }

  #invalid(name: string, value: unknown, expected: string): KvasirError {
    return new KvasirError("FILE_INVALID", `${this.file}: tokenizer.ggml.${name} is ${show(value)}; expected ${expected}`);
  }
}
