/**
 * What a tokenizer.json may have and kvasir refuses by name, with the reason; all else that isn't known is refused, too. `pipelines` are
 * compared with the Rust library, so what is not here gives its ids.
 */
export const REFUSALS = {
  WordPiece: "encoders have it (BERT), and no model that kvasir runs",
  WordLevel: "no model that kvasir runs has it",
  Unigram: "encoders and translators have it (T5, XLM-R), and no model that kvasir runs; most need Precompiled",
  Precompiled: "its table of characters belongs to Unigram",
  Nmt: "it belongs to Unigram",
  BertNormalizer: "encoders have it (BERT), and no model that kvasir runs",
  UnicodeScripts: "it cuts by the scripts of one version of Unicode",
  CTC: "it is for speech",
  BPEDecoder: "it writes a token by its place in the text",
  dropout: "null: ids are never random",
  continuing_subword_prefix: "null: the text of a token would depend on its place in the word",
  end_of_word_suffix: "null: the text of a token would depend on its place in the word",
  firstBehindCuts: 'prepend_scheme "first" behind what drops or cuts text: where the text began is not kept through that',
  losesText: "text that has no token would vanish, since model.unk_token is null",
  lineStart: "\\G in a regular expression: the translation drops it",
  references: "a reference to a group in a regular expression: one that took no part fails in Oniguruma and is empty in JavaScript",
  foldedLetters: "these letters in (?i: of a regular expression: beyond ASCII one may fold to several",
} as const;

/** The reason why something of this name is refused, as the end of a sentence; "" for what isn't listed. */
export function refusalOf(name: unknown): string {
  const refusals: Readonly<Record<string, string>> = REFUSALS;
  return typeof name === "string" && Object.hasOwn(refusals, name) ? `: ${refusals[name]}` : "";
}
