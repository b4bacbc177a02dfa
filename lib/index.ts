/**
 * Large language models inside Node.js: open a model, generate, stream.
 *
 * @packageDocumentation
 */
import "./package/node-version.ts";

export type { Chunk, Completion, LastChunk, PartialChunk, Timings, TokenLogprob, Usage } from "./api/completion.ts";
export type { EngineOptions } from "./api/options.ts";
export type { GenerateParams } from "./api/params.ts";
export type { SpeculateOptions } from "./api/speculate.ts";
export type { EngineStats } from "./api/stats.ts";
export { Engine, type Prompt } from "./engine.ts";
export { ERROR_CODES, type ErrorCode, KvasirError, type KvasirWarning, type WarningCode } from "./errors.ts";
export type { Chat, ChatMessage, ChatPart } from "./text/chat/messages.ts";
export type { ChatPrompt } from "./text/chat/prompt.ts";
export type { EncodeOptions } from "./text/tokenizer/codec.ts";
export { Tokenizer, type TokenizerOptions } from "./tokenizer.ts";
