import { byteLevelAlphabet } from "../../lib/text/tokenizer/byte-level.ts";

/** A component of a tokenizer.json. */
export type ComponentSpec = Record<string, unknown> & { type: string };

/** ByteLevel that only writes bytes. */
export const BYTES: ComponentSpec = { type: "ByteLevel", add_prefix_space: false, use_regex: false };

/** A Split by a regular expression, then bytes. */
export function splitBy(Regex: string): ComponentSpec {
  const split = { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
  return { type: "Sequence", pretokenizers: [split, BYTES] };
}

/** A byte-level tokenizer.json of all bytes and two merges, with some parts replaced. Special is `<s>`, 0. */
export function byteLevelJson(parts: Record<string, unknown> = {}): Record<string, unknown> {
  const pieces = ["<s>", ...byteLevelAlphabet(), "he", "ll"];
  return {
    added_tokens: [{ id: 0, content: "<s>", special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [
        ["h", "e"],
        ["l", "l"],
      ],
    },
    ...parts,
  };
}

/** A tokenizer.json as Llama 2 has it: spaces are `▁`, one stands before the text, bytes for characters that are no piece. */
export function metaspaceJson(parts: Record<string, unknown> = {}): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["<unk>", "<s>", ...bytes, "▁", ..."abcdehlorw", "he", "ll", "▁w"];
  return {
    added_tokens: [
      { id: 0, content: "<unk>", special: true, normalized: false },
      { id: 1, content: "<s>", special: true, normalized: false },
    ],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: ["h e", "l l", "▁ w"],
      unk_token: "<unk>",
      byte_fallback: true,
    },
    ...parts,
  };
}
