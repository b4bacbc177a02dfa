import { isObject } from "../../check.ts";
import { show } from "../../errors.ts";
import { Component } from "./component.ts";
import { malformed, type TokenizerJson, tokenId } from "./tokenizer-json.ts";

/** Ids that a tokenizer adds to a prompt. */
export interface Affixes {
  before: number[];
  after: number[];
}

/** What the post-processor of a tokenizer.json adds to a single text. */
export function postProcessorAffixes(json: TokenizerJson, file: string): Affixes {
  const affixes: Affixes = { before: [], after: [] };
  for (const step of Component.chain(json.post_processor, "processors", "post_processor", file)) {
    const { before, after } = stepAffixes(step, json);
    affixes.before.unshift(...before);
    affixes.after.push(...after);
  }
  return affixes;
}

function stepAffixes(step: Component, json: TokenizerJson): Affixes {
  if (step.type === "ByteLevel") return { before: [], after: [] };
  if (step.type === "TemplateProcessing") return templateAffixes(step, json);
  if (step.type === "BertProcessing" || step.type === "RobertaProcessing") {
    return { before: [pairId(step, "cls")], after: [pairId(step, "sep")] };
  }
  throw step.unknown(["ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing"]);
}

function templateAffixes(step: Component, json: TokenizerJson): Affixes {
  const affixes: Affixes = { before: [], after: [] };
  let side = affixes.before;
  let sequences = 0;
  for (const item of step.array("single")) {
    if (!isObject(item)) throw step.invalid("single", item, "objects");
    if (item.Sequence === undefined) side.push(...specialIds(item.SpecialToken, step, json));
    else {
      side = affixes.after;
      sequences++;
    }
  }
  if (sequences !== 1) throw step.invalid("single", step.array("single"), "the text once");
  return affixes;
}

/** A token that the template names: its ids stand beside the template, or it is in the vocabulary. */
function specialIds(item: unknown, step: Component, json: TokenizerJson): number[] {
  const name = isObject(item) ? item.id : undefined;
  if (typeof name === "string") {
    const { special_tokens: tokens } = step.json;
    const token = isObject(tokens) && Object.hasOwn(tokens, name) ? tokens[name] : undefined;
    const ids = isObject(token) ? token.ids : undefined;
    if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids;
    const id = tokenId(json, name);
    if (id !== undefined) return [id];
  }
  throw step.invalid("single", name, "tokens of the vocabulary");
}

function pairId(step: Component, name: string): number {
  const pair = step.json[name];
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (Number.isInteger(id) && (id as number) >= 0) return id as number;
  throw step.invalid(name, pair, "a pair of text and id");
}

/**
 * Classes of transformers that make their post-processor from `add_bos_token` and `add_eos_token` of tokenizer_config.json whatever
 * tokenizer.json says, and whether they add BOS where only EOS is spoken of. Others leave tokenizer.json's as it is.
 */
const CONFIGURED_CLASSES: ReadonlyMap<string, boolean> = new Map([
  ["LlamaTokenizer", true],
  ["CodeLlamaTokenizer", true],
  ["GemmaTokenizer", true],
  ["CohereTokenizer", true],
  ["GPTNeoXTokenizer", false],
]);

/** What tokenizer_config.json says of a tokenizer. */
export interface TokenizerConfig {
  config: Readonly<Record<string, unknown>>;
  bosText: string;
  eosText: string;
  /** Names it in messages. */
  file: string;
}

/** What is added to a prompt where the configuration has a say in it. */
export function configuredAffixes(json: TokenizerJson, processed: Affixes, { config, bosText, eosText, file }: TokenizerConfig): Affixes {
  const addsBos = CONFIGURED_CLASSES.get(String(config.tokenizer_class).replace(/Fast$/, ""));
  const flags = [config.add_bos_token ?? undefined, config.add_eos_token ?? undefined];
  if (addsBos === undefined || flags.every((flag) => flag === undefined)) return processed;
  const side = (name: string, flag: unknown, text: string): number[] => {
    if (typeof flag !== "boolean") throw malformed(file, name, flag, "true or false");
    if (!flag) return [];
    const id = tokenId(json, text);
    if (id === undefined) throw malformed(file, name, flag, `false, since the vocabulary has no token ${show(text)}`);
    return [id];
  };
  return { before: side("add_bos_token", flags[0] ?? addsBos, bosText), after: side("add_eos_token", flags[1] ?? false, eosText) };
}
