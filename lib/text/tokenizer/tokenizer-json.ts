import { isObject } from "../../check.ts";
import { KvasirError, show } from "../../errors.ts";
import { refusalOf } from "./refusals.ts";

/** A tokenizer.json with checked tokens and merges; components are checked where they are compiled. */
export interface TokenizerJson {
  added_tokens: AddedTokenJson[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
  model: BpeJson;
}

/** One component of the pipeline; its arguments depend on `type`. */
export interface ComponentJson {
  type: string;
  [key: string]: unknown;
}

/** An entry of `added_tokens`. */
export interface AddedTokenJson {
  id: number;
  content: string;
  special?: boolean;
  normalized?: boolean;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
}

/** The BPE model. */
export interface BpeJson {
  type: "BPE";
  vocab: ReadonlyMap<string, number>;
  merges: [left: string, right: string][];
  [key: string]: unknown;
}

/** Ids are below this. Chosen: far above any vocabulary, and small enough to index arrays. */
const MAX_TOKENS = 1 << 22;
/** Most entries of a vocabulary: four times today's largest. What a file makes must fit a thread's heap. */
const MAX_PIECES = 1 << 20;
/** Most merges, likewise. */
export const MAX_MERGES: number = 1 << 21;

/** Checks tokens and merges. `file` names it in messages. */
export function checkTokenizerJson(value: unknown, file: string): TokenizerJson {
  if (!isObject(value)) throw malformed(file, "the file", value, "an object");
  const { added_tokens, normalizer = null, pre_tokenizer = null, post_processor = null, decoder = null, model } = value;
  if (!isObject(model)) throw malformed(file, "model", model, "an object");
  // Files from before 2020 leave the type out.
  const type = model.type ?? (Array.isArray(model.vocab) ? "Unigram" : "BPE");
  if (type !== "BPE") {
    throw new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: model.type is ${show(type)}; kvasir reads BPE${refusalOf(type)}`);
  }
  const vocab = checkVocab(model.vocab, file);
  const bpe: BpeJson = { ...model, type: "BPE", vocab, merges: checkMerges(model.merges, file) };
  return {
    added_tokens: checkAddedTokens(added_tokens ?? [], vocab, file),
    normalizer,
    pre_tokenizer,
    post_processor,
    decoder,
    model: bpe,
  };
}

const FLAGS = ["special", "normalized", "single_word", "lstrip", "rstrip"] as const;

/** A token that the vocabulary has, too, has the vocabulary's id. */
function checkAddedTokens(tokens: unknown, vocab: BpeJson["vocab"], file: string): AddedTokenJson[] {
  if (!Array.isArray(tokens)) throw malformed(file, "added_tokens", tokens, "an array");
  return tokens.map((token: unknown, i) => {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== "string" || token.content === "") {
      throw malformed(file, `added_tokens[${i}]`, token, "an id and a content");
    }
    const odd = FLAGS.find((flag) => token[flag] !== undefined && typeof token[flag] !== "boolean");
    if (odd !== undefined) throw malformed(file, `added_tokens[${i}].${odd}`, token[odd], "true or false");
    const { content } = token;
    return { ...token, content, id: vocab.get(content) ?? token.id };
  });
}

function checkVocab(vocab: unknown, file: string): BpeJson["vocab"] {
  if (!isObject(vocab)) throw malformed(file, "model.vocab", vocab, "an object of ids");
  const ids = new Map<string, number>();
  for (const text in vocab) {
    const id = vocab[text];
    if (!isId(id)) throw malformed(file, `the id of ${show(text)}`, id, `a whole number below ${MAX_TOKENS}`);
    ids.set(text, id);
    if (ids.size > MAX_PIECES) throw malformed(file, "the size of model.vocab", Object.keys(vocab).length, `at most ${MAX_PIECES}`);
  }
  return ids;
}

/** Pairs, in older files as one text with a space between. */
function checkMerges(merges: unknown, file: string): BpeJson["merges"] {
  if (!Array.isArray(merges)) throw malformed(file, "model.merges", merges, "an array");
  if (merges.length > MAX_MERGES) throw malformed(file, "the length of model.merges", merges.length, `at most ${MAX_MERGES}`);
  return merges.map((merge: unknown, i) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || pair.some((piece) => typeof piece !== "string" || piece === "")) {
      throw malformed(file, `model.merges[${i}]`, merge, "a pair of texts");
    }
    return pair as [string, string];
  });
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_TOKENS;
}

/** A FILE_INVALID error: `tokenizer.json: model is null; expected an object`. */
export function malformed(file: string, what: string, value: unknown, expected: string): KvasirError {
  return new KvasirError("FILE_INVALID", `${file}: ${what} is ${show(value)}; expected ${expected}`);
}

/** The id of an added token or a piece of the model; `undefined`: no token has this text. */
export function tokenId({ added_tokens, model }: TokenizerJson, text: string): number | undefined {
  const added = added_tokens.find(({ content }) => content === text);
  return added?.id ?? model.vocab.get(text);
}
