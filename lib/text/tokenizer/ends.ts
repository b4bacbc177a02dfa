import type { AddedTokenJson, TokenizerJson } from "./tokenizer-json.ts";

/**
 * Tokens that end a text, a turn or a message wherever a vocabulary has them, each with the models that write it (as their tokenizers and
 * templates are published). Files often name only one of several. "</s>" is none of them: vocabularies that know HTML have it as a tag.
 */
const WELL_KNOWN_ENDS: ReadonlyMap<string, string> = new Map([
  ["<|endoftext|>", "GPT-2 and those after it: Qwen, Phi, OLMo, StarCoder"],
  ["<|im_end|>", "ChatML: Qwen, SmolLM, Yi, Hermes"],
  ["<|eot_id|>", "Llama 3, a turn"],
  ["<|eom_id|>", "Llama 3.1, a message that calls a tool"],
  ["<|end_of_text|>", "Llama 3, Granite"],
  ["<|eot|>", "Llama 4, a turn"],
  ["<|eom|>", "Llama 4, a message that calls a tool"],
  ["<|end|>", "Phi-3 and Phi-4-mini; gpt-oss, a message"],
  ["<|return|>", "gpt-oss, a turn"],
  ["<|call|>", "gpt-oss, a message that calls a tool"],
  ["<end_of_turn>", "Gemma 1 to 3"],
  ["<end_of_utterance>", "SmolVLM and Idefics"],
  ["<｜end▁of▁sentence｜>", "DeepSeek"],
  ["<|END_OF_TURN_TOKEN|>", "Command R"],
  ["<EOT>", "Refact"],
  ["▁<EOT>", "Code Llama"],
  ["[EOT]", "Kimi K2, a turn"],
  ["[EOS]", "Kimi K2, a text"],
]);

/** Whether a vocabulary's token of this text ends what is generated. */
export function isWellKnownEnd(text: string): boolean {
  return WELL_KNOWN_ENDS.has(text);
}

/** Ids of the end tokens that a vocabulary has: its end of sequence (-1: none) and the well-known ones. `idOf` is `undefined` for other texts. */
export function endTokensOf(eosToken: number, idOf: (text: string) => number | undefined): number[] {
  const known = [...WELL_KNOWN_ENDS.keys()].flatMap((text) => idOf(text) ?? []);
  return [...new Set(eosToken < 0 ? known : [eosToken, ...known])];
}

/**
 * A tokenizer.json in which end tokens are special, whatever it says of them: what a user writes must not end a turn. They are the added
 * tokens that the configs beside it name by id, the end of sequence by its text, and the well-known ones; these two are also taken from the
 * model's own vocabulary, as transformers does for the end of sequence.
 */
export function withSpecialEnds(json: TokenizerJson, eosText: string, ids: readonly number[]): TokenizerJson {
  const isEnd = (text: string): boolean => text !== "" && (text === eosText || isWellKnownEnd(text));
  const added = json.added_tokens.map((token) => (isEnd(token.content) || ids.includes(token.id) ? { ...token, special: true } : token));
  const texts = new Set(added.map(({ content }) => content));
  const others = [...json.model.vocab].filter(([text]) => isEnd(text) && !texts.has(text));
  return {
    ...json,
    added_tokens: [...added, ...others.map(([content, id]): AddedTokenJson => ({ id, content, special: true, normalized: false }))],
  };
}
