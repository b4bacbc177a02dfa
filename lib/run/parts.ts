import { fileURLToPath } from "node:url";
import { type CheckedOptions, checkOptions, draftOf, type EngineOptions, MAX_SLOTS, PAGE_SIZE } from "../api/options.ts";
import { checkString } from "../check.ts";
import { openModel } from "../model/open.ts";
import type { ModelSource } from "../model/spec.ts";
import { type NativeConfig, type NativeEngine, type NativeInfo, type NativeModule, nativeError } from "../native/addon.ts";
import { ChatTemplate } from "../text/chat/template.ts";
import { Tokenizer } from "../text/tokenizer/tokenizer.ts";
import { untilAborted } from "./abort.ts";
import { checkSameTokens, joinSpecs } from "./draft.ts";
import type { SpeculationTrial } from "./speculate.ts";

/** What an engine uses of the tokenizer. */
export type TextTokenizer = Pick<Tokenizer, "vocabulary" | "encode" | "encodeChat" | "detokenize" | "close">;

/** An opened model with its weights loaded: what an engine is made of. */
export interface EngineParts {
  source: ModelSource;
  /** The model that guesses for it. */
  draft: ModelSource | undefined;
  options: CheckedOptions;
  native: NativeEngine;
  info: NativeInfo;
  tokenizer: TextTokenizer | undefined;
  chat: Pick<ChatTemplate, "render"> | undefined;
  /** Of tests and benchmarks. */
  trial?: SpeculationTrial;
}

/** Opens a model's files, checks the options against it, and loads weights and tokenizer side by side. */
export async function openParts(model: string, given: EngineOptions | undefined, module: NativeModule): Promise<EngineParts> {
  const source = await openModel(modelPath(model));
  const draftPath = draftOf(given);
  const draft = draftPath === undefined ? undefined : await openModel(modelPath(draftPath));
  const options = checkOptions(given, source, module.isas(), draft);
  options.signal?.throwIfAborted();
  const native = createNative(module, nativeConfig(source, options, draft));
  const tokenizer = source.tokenizer === undefined ? Promise.resolve(undefined) : Tokenizer.open(source.tokenizer);
  try {
    const [info, opened] = await untilAborted(Promise.all([load(native, options), tokenizer]), options.signal);
    if (opened !== undefined) warnOfUnknownTokens(source, opened);
    if (opened !== undefined && draft?.tokenizer !== undefined) await checkDraftTokens(source, draft, opened);
    return { source, draft, options, native, info, tokenizer: opened, chat: chatTemplate(source, opened) };
  } catch (error) {
    await native.close();
    await tokenizer.then((opened) => opened?.close()).catch(() => {});
    throw error;
  }
}

/** Opens the draft model's tokenizer for as long as it takes to compare its tokens. */
async function checkDraftTokens(source: ModelSource, draft: ModelSource, { vocabulary }: Tokenizer): Promise<void> {
  const own = await Tokenizer.open(draft.tokenizer!);
  try {
    checkSameTokens(source, draft, vocabulary, own.vocabulary);
  } finally {
    await own.close();
  }
}

/** Some fine-tunes add tokens (padding, most often) for which the model has no embedding. Requests with them are refused one by one. */
function warnOfUnknownTokens({ name, spec }: ModelSource, { vocabulary }: Tokenizer): void {
  if (vocabulary.size <= spec.vocabSize) return;
  process.emitWarning(
    `the tokenizer of ${name} has ${vocabulary.size} ids, the model ${spec.vocabSize}: prompts with a token from ${spec.vocabSize} on are refused`,
    { type: "KvasirWarning", code: "KVASIR_UNKNOWN_TOKENS" },
  );
}

/** `"tales"` is the bundled model; all else is a path. */
function modelPath(model: unknown): string {
  const path = checkString("model", model);
  return path === "tales" ? fileURLToPath(new URL("../../models/tales-q4_0.gguf", import.meta.url)) : path;
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
  if (draft === undefined) return { spec, files, tensors, ...sizes, draft: undefined };
  const joined = joinSpecs(spec, draft.spec);
  const own = { files: draft.files, tensors: draft.tensors, compute: draftCompute! };
  return { spec: joined.model, files, tensors, ...sizes, draft: { spec: joined.draft, ...own } };
}

/** Loads the weights; rejects with what `onProgress` throws, too. */
function load(native: NativeEngine, { onProgress }: CheckedOptions): Promise<NativeInfo> {
  return new Promise((resolve, reject) => {
    const report = (loadedBytes: number, totalBytes: number): void => {
      try {
        onProgress?.({ loadedBytes, totalBytes });
      } catch (error) {
        reject(error);
      }
    };
    native.load(report).then(resolve, (error) => reject(nativeError(error)));
  });
}

function chatTemplate({ chatTemplates }: ModelSource, tokenizer: Tokenizer | undefined): ChatTemplate | undefined {
  if (chatTemplates.size === 0 || tokenizer === undefined) return undefined;
  const { bosText, eosText } = tokenizer.vocabulary;
  return new ChatTemplate(chatTemplates, { bosText, eosText });
}
