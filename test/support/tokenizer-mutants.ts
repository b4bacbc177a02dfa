import { mutateJson, randomIntegers } from "./mutants.ts";
import { BYTES, byteLevelJson, metaspaceJson } from "./tokenizer-json.ts";

/** A broken or odd tokenizer.json, named by its seed. */
export interface TokenizerMutant {
  text: string;
  /** Whether each text has to come back from its ids: nothing in it drops or changes text. */
  lossless: boolean;
}

type Random = (bound: number) => number;
type Json = Record<string, unknown>;

/** Texts that each mutant encodes. */
export const TEXTS: readonly string[] = [
  "",
  " ",
  "Hello, world 123.",
  "he ll\n\n  x",
  "\ufeffé語🙂\u0000\u0085",
  "e\u0301ﬁ①Σς",
  "<s>a<s> b",
  `${"a".repeat(40)}b`,
  " a".repeat(2000),
];

/** Arguments of every kind and size. */
const ODD: readonly unknown[] = [
  null,
  true,
  false,
  0,
  1,
  2,
  -1,
  1.5,
  1e9,
  2 ** 53,
  "",
  " ",
  "a",
  "▁",
  "ab",
  "🙂",
  "\ud83d",
  "always",
  "first",
  "never",
  [],
  [null],
  {},
  { String: "" },
  { String: "a" },
  { String: " " },
  { String: "▁" },
  { Regex: "" },
  { Regex: "." },
  { Regex: "a*" },
  { Regex: "(a|a)*$" },
  { Regex: "(a+)+b?$" },
  { Regex: "\\s+(?!\\S)|\\s++|[^\\s]?+" },
  { Regex: "(?i:he)|(?>l+)l" },
  { Regex: "(" },
  { Regex: "\\G\\p{Nope}" },
  { Regex: "x{99999}{99999}" },
  { String: "a", Regex: "b" },
  { Other: "a" },
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
  "contiguous",
];

/** Arguments that components have, with values that are in order. */
const ARGUMENTS: Readonly<Record<string, readonly unknown[]>> = {
  pattern: ODD.filter((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  content: ["", "a", "aa", " ", "▁", "$&", "🙂"],
  behavior: ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"],
  invert: [true, false],
  replacement: ["▁", "a", "🙂"],
  prepend_scheme: ["always", "first", "never"],
  prepend: ["▁", "", "a"],
  split: [true, false],
  add_prefix_space: [true, false],
  use_regex: [true, false],
  trim_offsets: [true, false],
  individual_digits: [true, false],
  length: [1, 2, 5],
  delimiter: [" ", "a"],
  strip_left: [true, false],
  strip_right: [true, false],
  left: [true, false],
  right: [true, false],
  start: [0, 1],
  stop: [0, 1],
};

const TYPES: Readonly<Record<string, readonly string[]>> = {
  normalizer: [
    "NFC",
    "NFKD",
    "Lowercase",
    "StripAccents",
    "Strip",
    "Prepend",
    "Replace",
    "ByteLevel",
    "Nmt",
    "Precompiled",
    "BertNormalizer",
  ],
  pre_tokenizer: [
    "ByteLevel",
    "Metaspace",
    "Split",
    "Whitespace",
    "WhitespaceSplit",
    "BertPreTokenizer",
    "Punctuation",
    "Digits",
    "CharDelimiterSplit",
    "FixedLength",
    "UnicodeScripts",
    "Replace",
  ],
  post_processor: ["ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing"],
  decoder: ["ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip", "WordPiece", "BPEDecoder", "CTC"],
};
const LISTS: Readonly<Record<string, string>> = {
  normalizer: "normalizers",
  pre_tokenizer: "pretokenizers",
  post_processor: "processors",
  decoder: "decoders",
};
/** Steps that cut and drop nothing. */
const CUTS = ["Split", "Digits", "Punctuation", "FixedLength"];

/** The mutant of a seed. */
export function tokenizerMutant(seed: number): TokenizerMutant {
  const random = randomIntegers(seed);
  const kind = random(10);
  if (kind < 3) return losslessMutant(random);
  const json = random(2) === 0 ? byteLevelJson() : metaspaceJson();
  if (kind < 7) for (let i = random(2); i >= 0; i--) replaceComponent(json, random);
  else if (kind < 9) mutateModel(json, random);
  const text = JSON.stringify(json);
  return { text: kind < 9 ? text : mutateJson(text, random), lossless: false };
}

/** Odd cuts before the bytes. */
function losslessMutant(random: Random): TokenizerMutant {
  const cuts = Array.from({ length: 1 + random(3) }, () => {
    const cut = componentOf(pick(CUTS, random), random, 20);
    return cut.behavior === "Removed" ? { ...cut, behavior: "Isolated" } : cut;
  });
  return { text: JSON.stringify(byteLevelJson({ pre_tokenizer: { type: "Sequence", pretokenizers: [...cuts, BYTES] } })), lossless: true };
}

function replaceComponent(json: Json, random: Random): void {
  const place = pick(Object.keys(TYPES), random);
  json[place] = random(12) === 0 ? pick(ODD, random) : tree(place, random, 3);
}

function tree(place: string, random: Random, depth: number): unknown {
  if (random(40) === 0) return pick(ODD, random);
  if (depth > 0 && random(2) === 0)
    return { type: "Sequence", [LISTS[place]!]: Array.from({ length: random(4) }, () => tree(place, random, depth - 1)) };
  return componentOf(random(30) === 0 ? "Magic" : pick(TYPES[place]!, random), random, 8);
}

/** One in `odds` of its arguments is odd, as many are missing. */
function componentOf(type: string, random: Random, odds: number): Json {
  const component: Json = { type };
  for (const [name, values] of Object.entries(ARGUMENTS)) {
    const choice = random(odds);
    if (choice === 0) component[name] = pick(ODD, random);
    else if (choice > 1) component[name] = pick(values, random);
  }
  return component;
}

function mutateModel(json: Json, random: Random): void {
  const model = json.model as Json;
  const vocab = model.vocab as Record<string, unknown>;
  const pieces = Object.keys(vocab);
  const edits: readonly (() => void)[] = [
    () => delete vocab[pick(pieces, random)],
    () => delete vocab[pick(["he", "ll", "▁", "a"], random)],
    () => (vocab[pick(pieces, random)] = pick([...ODD, 3, 4, 5], random)),
    () => (vocab[pick(["xx", "__proto__", "constructor"], random)] = random(400)),
    () => (model.merges as unknown[]).push(pick([["a", "b"], "a b", "he ll", ["he", ""], ["a"], null, "a  b", ["ll", "o"]], random)),
    () =>
      (model[pick(["unk_token", "fuse_unk", "byte_fallback", "ignore_merges", "dropout", "end_of_word_suffix", "type"], random)] = pick(
        ODD,
        random,
      )),
    () => (json.added_tokens as unknown[]).push(addedToken(random)),
    () => (json.added_tokens as unknown[]).push(addedToken(random)),
  ];
  for (let i = random(3); i >= 0; i--) pick(edits, random)();
}

function addedToken(random: Random): unknown {
  if (random(10) === 0) return pick(ODD, random);
  const flags = Object.fromEntries(["special", "normalized", "single_word", "lstrip", "rstrip"].map((name) => [name, random(2) === 0]));
  if (random(10) === 0) flags[pick(Object.keys(flags), random)] = pick(ODD, random) as boolean;
  const content = pick(["a", " ", "he", "llo", "<s>", "é", "", "\n\n", "a".repeat(20_000), "\ud83d", 1], random);
  return { id: pick([300, 301, 1, 5, -1, 1e9], random), content, ...flags };
}

function pick<T>(values: readonly T[], random: Random): T {
  return values[random(values.length)]!;
}
