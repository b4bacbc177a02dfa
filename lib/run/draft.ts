import { KvasirError, show } from "../errors.ts";
import type { ModelSource, ModelSpec } from "../model/spec.ts";
import { tokenBytes, type Vocabulary } from "../text/tokenizer/vocabulary.ts";

/** The specs of a model and its draft model with the cache groups of both: first the model's, and those of the other without layers. */
export function joinSpecs(model: ModelSpec, draft: ModelSpec): { model: ModelSpec; draft: ModelSpec } {
  const foreign = ({ cacheGroups }: ModelSpec) => cacheGroups.map((group) => ({ ...group, layers: [] }));
  const first = model.cacheGroups.length;
  const layers = draft.layers.map((layer) => ({ ...layer, mixer: { ...layer.mixer, cacheGroup: first + layer.mixer.cacheGroup } }));
  return {
    model: { ...model, cacheGroups: [...model.cacheGroups, ...foreign(draft)] },
    draft: { ...draft, layers, cacheGroups: [...foreign(model), ...draft.cacheGroups] },
  };
}

/** Throws INVALID_ARGUMENT for a draft model whose tokens cannot be compared with the model's. */
export function checkHasTokens(model: ModelSource, draft: ModelSource): void {
  if (model.tokenizer === undefined || draft.tokenizer !== undefined) return;
  throw new KvasirError(
    "INVALID_ARGUMENT",
    `speculate.draft is ${draft.name}, which has no tokenizer; expected one with the tokens of ${model.name}`,
  );
}

/** Throws INVALID_ARGUMENT with the first id of both models that is another token of the draft model: others are never guessed. */
export function checkSameTokens(model: ModelSource, draft: ModelSource, own: Vocabulary, drafts: Vocabulary): void {
  for (let id = 0; id < Math.min(model.spec.vocabSize, draft.spec.vocabSize); id++) {
    const [expected, found] = [tokenBytes(own, id), tokenBytes(drafts, id)];
    const isSpecial = (own.special[id] ?? 0) === 1;
    if (Buffer.compare(expected, found) === 0 && isSpecial === ((drafts.special[id] ?? 0) === 1)) continue;
    const text = (bytes: Uint8Array): string => show(new TextDecoder().decode(bytes));
    throw new KvasirError(
      "INVALID_ARGUMENT",
      `speculate.draft is ${draft.name}, whose token ${id} is ${text(found)}; expected ${text(expected)}${isSpecial ? ", special" : ""}, as in ${model.name}`,
    );
  }
}
