/**
 * Large language models inside Node.js: open a model, generate, stream.
 *
 * @packageDocumentation
 */
export type { Chunk, Completion, Timings, TokenLogprob, Usage } from "./completion.ts";
export { Engine, type Prompt } from "./engine.ts";
export { ERROR_CODES, type ErrorCode, KvasirError } from "./errors.ts";
export type { EngineOptions } from "./options.ts";
export type { GenerateParams } from "./params.ts";
export type { EngineStats } from "./stats.ts";
export type { ChatMessage, ChatPart } from "./text/chat.ts";
