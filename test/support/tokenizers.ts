import { byteLevelAlphabet } from "../../lib/text/tokenizer/byte-level.ts";

/** A tokenizer.json of single bytes: byte-level BPE without merges. */
export function byteLevelTokenizer(): {
  added_tokens: object[];
  normalizer: null;
  pre_tokenizer: object;
  post_processor: null;
  decoder: object;
  model: { type: string; vocab: Record<string, number>; merges: string[] };
} {
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: Object.fromEntries(byteLevelAlphabet().map((character, id) => [character, id])), merges: [] },
  };
}
