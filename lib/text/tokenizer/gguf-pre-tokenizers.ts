import type { ComponentJson } from "./tokenizer-json.ts";

/** What a name in `tokenizer.ggml.pre` says of a byte-level BPE. */
export interface GgufPreTokenizer {
  /** How text is cut into words, as a component of tokenizer.json. */
  split: ComponentJson;
  /** A word that is a token stays whole, whatever the merges say. */
  ignoresMerges: boolean;
  /** Where the file doesn't say. */
  addsBos: boolean;
}

/** A rule and llama.cpp's names for it; flags are false where they are left out. */
interface Rule extends Partial<GgufPreTokenizer> {
  names: string;
  split: ComponentJson;
}

const BYTES: ComponentJson = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
/** GPT-2's words. */
const WORDS: ComponentJson = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
const DIGITS: ComponentJson = { type: "Digits", individual_digits: true };

// What the expressions share.
const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LETTERS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const SIGNS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** Chinese characters and Japanese syllables. */
const CJK = "[\u3040-\u30ff\u4e00-\u9fa5]+";
/** Neither white space nor what ends a part of a sentence, with a space before. */
const BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+";
/** Letters of scripts that have capitals, as DeepSeek LLM lists them. */
const CASED =
  "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376-\u0377" +
  "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5" +
  "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d" +
  "\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc" +
  "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128" +
  "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183-\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee" +
  "\u2cf2-\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17" +
  "\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}" +
  "\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";

/**
 * llama.cpp's names and rules, but for those of other kinds of BPE and those that only models have which kvasir doesn't run. Where the models' own
 * tokenizer.json says more than llama.cpp's expressions can, its rule stands here: kinds of letters (o200k's words, tekken's, Kimi's), bytes (falcon),
 * word ends (tiny_aya). Normalizers are in no GGUF file: text is taken as it is.
 */
const RULES: readonly Rule[] = [
  {
    names: "default",
    split: steps(
      "[\\p{P}$+<=>^~|]+",
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      "\\p{N}+",
      "[0-9]{3}",
    ),
  },
  {
    names:
      "gpt-2 phi-2 mpt olmo exaone4 trillion granite-docling a.x-4.0 mellum gigachat jais modern-bert roberta-bpe " +
      "jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code",
    split: WORDS,
  },
  { names: "starcoder refact command-r smollm codeshell exaone minerva-7b", split: sequence(DIGITS, WORDS) },
  {
    // Digits are found among the characters that stand for bytes, as in tokenizer.json.
    names: "falcon",
    split: sequence(
      { type: "Punctuation", behavior: "Contiguous" },
      WORDS,
      { type: "Digits", individual_digits: false },
      split("[0-9][0-9][0-9]"),
    ),
  },
  {
    names: "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
    split: steps(cl100k("{1,3}")),
    ignoresMerges: true,
    addsBos: true,
  },
  { names: "dbrx chatglm-bpe glm4", split: steps(cl100k("{1,3}")) },
  // Of vocabularies made from Llama 3's, which has words that no merges lead to.
  { names: "smaug-bpe", split: steps(cl100k("{1,3}")), ignoresMerges: true },
  {
    names: "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 bailingmoe bailingmoe2 llada-moe",
    split: steps(cl100k("")),
  },
  {
    names: "qwen35",
    split: steps(`${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`),
  },
  { names: "minicpm5", split: steps("\\p{N}{1,3}", cl100k("+")), ignoresMerges: true },
  { names: "seed-coder", split: steps(`${CONTRACTION}|${LETTERS}|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`) },
  { names: "gpt-4o llama4 kanana2 minimax-m2", split: steps(o200k(`${CONTRACTION}?`, "{1,3}")) },
  { names: "tekken", split: steps(o200k("", "")), ignoresMerges: true, addsBos: true },
  {
    // A number that ends where a word may is cut in threes from its end: its first digits here, the threes by the expression after it.
    // The model's own `\d{1,3}(?=(?:\d{3})*\b)` reads the rest of a number again at each of its threes.
    names: "tiny_aya cohere2moe",
    split: steps("(?<!\\d)\\d+\\b", "\\A\\d{1,2}(?=(?:\\d{3})+\\z)", o200k(`${CONTRACTION}?`, "{1,3}")),
  },
  {
    names: "youtu",
    split: steps(
      `[\uac00-\ud7a3\u3131-\u318e]+|[！…“”‘’—：；，\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|${CJK}`,
      o200k(`${CONTRACTION}?`, ""),
    ),
    ignoresMerges: true,
  },
  {
    names: "kimi-k2",
    split: steps(`\\p{Han}+|${casedWords(`${CONTRACTION}?`, "&&[^\\p{Han}]")}|\\p{N}{1,3}|${SIGNS}|${SPACES}`),
  },
  {
    // Numbers are cut in threes from their end and nothing else is cut: first behind what is left of a number's digits, then behind each three.
    // The published `(?=(\d{3})+(?!\d))` reads the rest of a number again at each of its digits.
    names: "superbpe",
    split: steps(
      "\\p{N}+",
      split("(?<!\\d)\\d{0,2}(?=(?:\\d{3})+(?!\\d))", "MergedWithPrevious"),
      split("\\d{3}(?=\\d)", "MergedWithPrevious"),
    ),
  },
  { names: "poro-chat bloom gpt3-finnish", split: steps(BLOOM) },
  { names: "viking", split: steps(BLOOM, DIGITS) },
  {
    // `\s+$` would read white space again from each of its characters.
    names: "deepseek-llm",
    split: steps(
      "[\\r\\n]",
      `\\s?[${CASED}]+`,
      "\\s?[!-/:-~！-／：-～\u2018-\u201f\u3000-\u3002]+",
      "(?<!\\s)\\s+$",
      "[\u0800-\u9fa5\uac00-\ud7ff]+",
      DIGITS,
    ),
  },
  { names: "deepseek-coder", split: steps("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u0800-\u9fa5\uac00-\ud7ff]+", DIGITS) },
  {
    names: "deepseek-v3 hunyuan-dense joyai-llm",
    split: steps(
      "\\p{N}{1,3}",
      CJK,
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" +
        SPACES,
    ),
  },
];

/** By the names that `tokenizer.ggml.pre` may have. */
export const GGUF_PRE_TOKENIZERS: ReadonlyMap<string, GgufPreTokenizer> = new Map(
  RULES.flatMap(({ names, split, ignoresMerges = false, addsBos = false }) =>
    names.split(" ").map((name) => [name, { split, ignoresMerges, addsBos }] as const),
  ),
);

/** cl100k's words, with so many digits in a number: contractions, letters with one sign before, numbers, signs, line ends, space. */
function cl100k(digits: string): string {
  return [CONTRACTION, LETTERS, `\\p{N}${digits}`, SIGNS, SPACES].join("|");
}

/** o200k's words: {@link casedWords}, numbers of so many digits, signs with slashes, line ends, space. */
function o200k(ending: string, digits: string): string {
  return [casedWords(ending), `\\p{N}${digits}`, " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*", SPACES].join("|");
}

/** Letters with one sign before, which end before a capital that follows small ones. `ending` comes after; `but` takes letters out. */
function casedWords(ending: string, but = ""): string {
  const sign = "[^\\r\\n\\p{L}\\p{N}]?";
  const upper = `[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${but}]`;
  const lower = `[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${but}]`;
  return `${sign}${upper}*${lower}+${ending}|${sign}${upper}+${lower}*${ending}`;
}

function split(Regex: string, behavior = "Isolated"): ComponentJson {
  return { type: "Split", pattern: { Regex }, behavior, invert: false };
}

/** Steps and expressions, one after the other, then bytes. */
function steps(...parts: (string | ComponentJson)[]): ComponentJson {
  return sequence(...parts.map((part) => (typeof part === "string" ? split(part) : part)), BYTES);
}

function sequence(...pretokenizers: ComponentJson[]): ComponentJson {
  return { type: "Sequence", pretokenizers };
}
