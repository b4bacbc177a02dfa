import { KvasirError, show } from "../../errors.ts";

/** tokenizer.json as far as kvasir reads it itself; the library reads the rest. */
export interface TokenizerJson {
  added_tokens: AddedTokenJson[];
  normalizer: ComponentJson | null;
  pre_tokenizer: ComponentJson | null;
  post_processor: ComponentJson | null;
  decoder: ComponentJson | null;
  model: BpeJson;
}

/** One component of the pipeline; its other keys depend on `type`. */
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
  lstrip?: boolean;
  rstrip?: boolean;
}

/** The BPE model. `vocab` is only enumerated, never indexed by text from outside. */
export interface BpeJson {
  type: "BPE";
  vocab: Record<string, number>;
  merges: (string | [string, string])[];
  [key: string]: unknown;
}

/** Ids are below this. Chosen: far above any vocabulary, and small enough to index arrays. */
const MAX_TOKENS = 1 << 22;

/** Checks the parts that kvasir reads itself. `file` names it in messages. */
export function checkTokenizerJson(value: unknown, file: string): TokenizerJson {
  if (!isObject(value)) throw malformed(file, "the file", value, "an object");
  const { added_tokens = [], model } = value;
  if (!isObject(model)) throw malformed(file, "model", model, "an object");
  // Files from before 2020 leave the type out.
  if ((model.type ?? "BPE") !== "BPE" || Array.isArray(model.vocab)) {
    throw new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: model.type is ${show(model.type)}; kvasir reads BPE`);
  }
  checkVocab(model.vocab, file);
  checkMerges(model.merges, file);
  if (!Array.isArray(added_tokens)) throw malformed(file, "added_tokens", added_tokens, "an array");
  added_tokens.forEach((token, i) => {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== "string" || token.content === "") {
      throw malformed(file, `added_tokens[${i}]`, token, "an id and a content");
    }
  });
  return {
    added_tokens,
    normalizer: component(value, "normalizer", file),
    pre_tokenizer: component(value, "pre_tokenizer", file),
    post_processor: component(value, "post_processor", file),
    decoder: component(value, "decoder", file),
    model: { ...model, type: "BPE" } as BpeJson,
  };
}

/** A component with those that Sequence components hold in place of these. */
export function flatten(component: ComponentJson | null, list: string): ComponentJson[] {
  if (component === null) return [];
  if (component.type !== "Sequence") return [component];
  const parts = component[list];
  return Array.isArray(parts) ? parts.flatMap((part) => (isObject(part) ? flatten(part as ComponentJson, list) : [])) : [];
}

function component(value: Record<string, unknown>, name: string, file: string): ComponentJson | null {
  const part = value[name] ?? null;
  if (part === null || (isObject(part) && typeof part.type === "string")) return part as ComponentJson | null;
  throw malformed(file, name, part, "null or an object with a type");
}

function checkVocab(vocab: unknown, file: string): void {
  if (!isObject(vocab)) throw malformed(file, "model.vocab", vocab, "an object of ids");
  for (const [text, id] of Object.entries(vocab)) {
    if (!isId(id)) throw malformed(file, `the id of ${show(text)}`, id, `a whole number below ${MAX_TOKENS}`);
  }
}

function checkMerges(merges: unknown, file: string): void {
  if (!Array.isArray(merges)) throw malformed(file, "model.merges", merges, "an array");
  merges.forEach((merge, i) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string") {
      throw malformed(file, `model.merges[${i}]`, merge, "a pair of texts");
    }
  });
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_TOKENS;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A FILE_INVALID error: `tokenizer.json: model is null; expected an object`. */
export function malformed(file: string, what: string, value: unknown, expected: string): KvasirError {
  return new KvasirError("FILE_INVALID", `${file}: ${what} is ${show(value)}; expected ${expected}`);
}
