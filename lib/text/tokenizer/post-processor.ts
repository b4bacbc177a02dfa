import { KvasirError, show } from "../../errors.ts";
import { type ComponentJson, flatten, malformed, type TokenizerJson } from "./tokenizer-json.ts";

/** Ids that a tokenizer adds to a prompt. */
export interface Affixes {
  before: number[];
  after: number[];
}

/** What the post-processor of a tokenizer.json adds to a single text. */
export function postProcessorAffixes(json: TokenizerJson, file: string): Affixes {
  const affixes: Affixes = { before: [], after: [] };
  for (const step of flatten(json.post_processor, "processors")) {
    const { before, after } = stepAffixes(step, json, file);
    affixes.before.unshift(...before);
    affixes.after.push(...after);
  }
  return affixes;
}

function stepAffixes(step: ComponentJson, json: TokenizerJson, file: string): Affixes {
  if (step.type === "ByteLevel") return { before: [], after: [] };
  if (step.type === "TemplateProcessing") return templateAffixes(step, json, file);
  if (step.type === "BertProcessing" || step.type === "RobertaProcessing") {
    return { before: [pairId(step.cls, file)], after: [pairId(step.sep, file)] };
  }
  const known = "ByteLevel, TemplateProcessing, BertProcessing and RobertaProcessing";
  throw new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: post_processor ${show(step.type)} is not known; kvasir reads ${known}`);
}

type TemplateItem = { SpecialToken?: { id?: unknown }; Sequence?: { id?: unknown } } | null;

function templateAffixes(step: ComponentJson, json: TokenizerJson, file: string): Affixes {
  const items = step.single;
  if (!Array.isArray(items)) throw malformed(file, "post_processor.single", items, "an array");
  const affixes: Affixes = { before: [], after: [] };
  let side = affixes.before;
  for (const item of items as TemplateItem[]) {
    if (item?.Sequence !== undefined) side = affixes.after;
    else side.push(...specialIds(item?.SpecialToken?.id, step, json, file));
  }
  return affixes;
}

/** A token that the template names: its ids stand beside the template, or it is in the vocabulary. */
function specialIds(name: unknown, step: ComponentJson, json: TokenizerJson, file: string): number[] {
  if (typeof name === "string") {
    const entries = Object.entries((step.special_tokens ?? {}) as Record<string, { ids?: unknown } | null>);
    const ids = entries.find(([key]) => key === name)?.[1]?.ids;
    if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids;
    const token = json.added_tokens.find(({ content }) => content === name);
    if (token !== undefined) return [token.id];
  }
  throw malformed(file, "a token of post_processor.single", name, "a token of the vocabulary");
}

function pairId(pair: unknown, file: string): number {
  const id = Array.isArray(pair) ? pair[1] : undefined;
  if (Number.isInteger(id) && id >= 0) return id;
  throw malformed(file, "a token of post_processor", pair, "a pair of text and id");
}
