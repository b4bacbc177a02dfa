import type { BpeParts, Merge } from "./bpe.ts";
import { byteLevelAlphabet, byteLevelBytes, byteTokenTable } from "./byte-level.ts";
import { Component } from "./component.ts";
import { REFUSALS } from "./refusals.ts";
import { malformed, type TokenizerJson } from "./tokenizer-json.ts";

/**
 * The model of a tokenizer.json, without special tokens: ordinary text must not become control by being merged or by being a whole word.
 * Special tokens of one character stay, since nothing else could write it.
 */
export function bpeParts({ model, added_tokens }: TokenizerJson, writesBytes: boolean, file: string): BpeParts {
  const [component] = Component.chain(model, "", "model", file);
  const ids = new Map(model.vocab);
  const unknownToken = unknownTokenOf(component!, ids);
  refuseVariants(component!);
  const byteTokens = component!.boolean("byte_fallback", false) ? byteTokenTable(ids) : undefined;
  const hidden = added_tokens.filter(({ content, special }) => special === true && [...content].length > 1).map(({ content }) => content);
  const merges = mergesOf(model.merges, ids, new Set(hidden.map((text) => ids.get(text) ?? -1)), file);
  for (const text of hidden) ids.delete(text);
  return {
    ids,
    merges,
    unknownToken,
    fusesUnknown: unknownToken >= 0 && component!.boolean("fuse_unk", false),
    byteTokens,
    ignoresMerges: component!.boolean("ignore_merges", false),
    writesBytes,
  };
}

/** Merges as ids, but for those with hidden tokens. Text that was merged into no token would vanish: such a file is refused. */
function mergesOf(
  merges: TokenizerJson["model"]["merges"],
  ids: ReadonlyMap<string, number>,
  hidden: ReadonlySet<number>,
  file: string,
): Merge[] {
  const known: Merge[] = [];
  merges.forEach(([leftText, rightText], i) => {
    const left = ids.get(leftText);
    const right = ids.get(rightText);
    const result = ids.get(leftText + rightText);
    if (left === undefined || right === undefined || result === undefined) {
      const missing = left === undefined ? leftText : right === undefined ? rightText : leftText + rightText;
      throw malformed(file, `a piece of model.merges[${i}]`, missing, "a token of the vocabulary");
    }
    if (!hidden.has(left) && !hidden.has(right) && !hidden.has(result)) known.push({ left, right, result });
  });
  return known;
}

function unknownTokenOf(model: Component, ids: ReadonlyMap<string, number>): number {
  const { unk_token } = model.json;
  if (unk_token === undefined || unk_token === null) return -1;
  const id = ids.get(model.string("unk_token"));
  if (id === undefined) throw model.invalid("unk_token", unk_token, "a token of the vocabulary");
  return id;
}

/** Settings of BPE that no tokenizer of a model that kvasir runs has. */
function refuseVariants(model: Component): void {
  const { dropout, continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = model.json;
  if ((dropout ?? 0) !== 0) throw model.invalid("dropout", dropout, REFUSALS.dropout);
  if ((prefix ?? "") !== "") throw model.invalid("continuing_subword_prefix", prefix, REFUSALS.continuing_subword_prefix);
  if ((suffix ?? "") !== "") throw model.invalid("end_of_word_suffix", suffix, REFUSALS.end_of_word_suffix);
}

/** Text that has no token, where there is none for unknown text; `undefined`: all has. `seesBytes`: words are bytes, each as a character. */
export function missingText(parts: BpeParts, seesBytes: boolean): string | undefined {
  if (parts.unknownToken >= 0 || hasAllByteTokens(parts)) return undefined;
  if (!seesBytes) return "most of Unicode";
  const character = byteLevelAlphabet().find((byte) => !parts.ids.has(byte));
  return character && `the byte 0x${byteLevelBytes(character)[0]!.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Whether every character can become byte tokens, so that none is unknown. */
export function hasAllByteTokens({ byteTokens }: BpeParts): boolean {
  return byteTokens?.every((token) => token >= 0) ?? false;
}
