import type { Machine } from "../api/device.ts";
import { type CheckedOptions, checkOptions, copyOptions, type EngineOptions, optionsBeforeOpen } from "../api/options.ts";
import { MAX_SLOTS, PAGE_SIZE } from "../api/pools.ts";
import { counted, KvasirWarning, type Warn } from "../errors.ts";
import type { HubRequest } from "../hub/open.ts";
import { openModel } from "../model/open.ts";
import { ropesFor } from "../model/rope.ts";
import type { ModelSource, ModelSpec } from "../model/spec.ts";
import { type NativeConfig, type NativeEngine, type NativeInfo, type NativeModule, nativeError } from "../native/addon.ts";
import { TokenizerClient, type TokenizerOpening } from "../text/tokenizer/tokenizer.ts";
import { untilAborted } from "./abort.ts";
import { checkHasTokens, checkSameTokens, joinSpecs } from "./draft.ts";
import { locateModel, type NamedModel, nameModel, openLocated } from "./locate.ts";
import type { SpeculationTrial } from "./speculate.ts";
import { openTextParts, type TextParts, type TextTokenizer } from "./text.ts";

/** An opened model with its weights loaded: what an engine is made of. */
export interface EngineParts extends TextParts {
  source: ModelSource;
  /** The model that guesses for it. */
  draft: ModelSource | undefined;
  options: CheckedOptions;
  native: NativeEngine;
  info: NativeInfo;
  /** Of tests and benchmarks. */
  trial?: SpeculationTrial;
}

/** Opens a model's files, checks the options against it, and loads weights and tokenizer side by side. */
export async function openParts(model: string, callers: EngineOptions | undefined, module: NativeModule & Machine): Promise<EngineParts> {
  const given = copyOptions(callers);
  const opening = optionsBeforeOpen(given);
  const { speculate, ...request } = opening;
  const { warn } = request;
  const named = nameModel(model);
  const namedDraft = speculate?.draft === undefined ? undefined : nameModel(speculate.draft);
  const source = await openNamed(named, request);
  const draft = namedDraft && (await openNamed(namedDraft, request));
  if (draft !== undefined) checkHasTokens(source, draft);
  const options = checkOptions(given, { opening, source, draft, machine: module });
  options.signal?.throwIfAborted();
  const native = createNative(module, nativeConfig(source, options, draft));
  const openingText = openTextParts(source, request);
  try {
    const [info, text] = await untilAborted(Promise.all([load(native, options), openingText]), options.signal);
    const { tokenizer } = text;
    if (tokenizer !== undefined) warnOfUnknownTokens(source, tokenizer, warn);
    if (tokenizer !== undefined && draft?.tokenizer !== undefined) await checkDraftTokens(source, draft, tokenizer, request);
    return { source, draft, options, native, info, ...text };
  } catch (error) {
    await native.close();
    await openingText.then(({ tokenizer }) => tokenizer?.close()).catch(() => {});
    throw error;
  }
}

/** Opens a model's files, wherever they are. */
async function openNamed(model: NamedModel, request: Omit<HubRequest, "textOnly">): Promise<ModelSource> {
  const located = await locateModel(model, { ...request, textOnly: false });
  return openLocated(located, (path) => openModel(path, request.warn, request.signal));
}

/** Opens the draft model's tokenizer for as long as it takes to compare its tokens. */
async function checkDraftTokens(
  source: ModelSource,
  draft: ModelSource,
  { vocabulary }: TextTokenizer,
  opening: TokenizerOpening,
): Promise<void> {
  const own = await TokenizerClient.open(draft.tokenizer!, opening);
  try {
    checkSameTokens(source, draft, vocabulary, own.vocabulary);
  } finally {
    await own.close();
  }
}

/** Some fine-tunes add tokens (padding, most often) for which the model has no embedding. Requests with them are refused one by one. */
function warnOfUnknownTokens({ name, spec }: ModelSource, { vocabulary }: TextTokenizer, warn: Warn): void {
  const { size } = vocabulary;
  if (size <= spec.vocabSize) return;
  const message = `the tokenizer of ${name} has ${counted(size, "id")}, the model ${spec.vocabSize}: prompts with a token from ${spec.vocabSize} on are refused`;
  warn(new KvasirWarning("KVASIR_UNKNOWN_TOKENS", message));
}

function createNative(module: NativeModule, config: NativeConfig): NativeEngine {
  try {
    return new module.Engine(config);
  } catch (error) {
    throw nativeError(error);
  }
}

/** What the native engine is made of. */
export function nativeConfig({ spec, files, tensors }: ModelSource, options: CheckedOptions, draft?: ModelSource): NativeConfig {
  const { device, compute, draftCompute, kvType, pages, maxBatchTokens, maxContext } = options;
  const sizes = { device, compute, kvType, pages, maxBatchTokens, maxContext, pageSize: PAGE_SIZE, maxSlots: MAX_SLOTS };
  const inContext = (whole: ModelSpec): ModelSpec => ({ ...whole, ropes: ropesFor(whole.ropes, maxContext) });
  if (draft === undefined) return { spec: inContext(spec), files, tensors, ...sizes, draft: undefined };
  const joined = joinSpecs(inContext(spec), inContext(draft.spec));
  const own = { files: draft.files, tensors: draft.tensors, compute: draftCompute! };
  return { spec: joined.model, files, tensors, ...sizes, draft: { spec: joined.draft, ...own } };
}

/** Loads the weights; rejects with what `onProgress` throws, too. */
function load(native: NativeEngine, { onProgress }: CheckedOptions): Promise<NativeInfo> {
  return new Promise((resolve, reject) => {
    const report = (loadedBytes: number, totalBytes: number): void => {
      try {
        onProgress?.({ phase: "load", loadedBytes, totalBytes });
      } catch (error) {
        reject(error);
      }
    };
    native.load(report).then(resolve, (error) => reject(nativeError(error)));
  });
}
