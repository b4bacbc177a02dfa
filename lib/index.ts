/**
 * Large language models inside Node.js: open a model, generate, stream. One addon computes, on the CPU or on an NVIDIA GPU; many calls at once
 * share its steps; the same request gives the same tokens under any load.
 *
 * ```ts
 * await using engine = await Engine.open("tales");
 * for await (const { text } of engine.stream("Once upon a time", { maxTokens: 60 })) process.stdout.write(text);
 * ```
 *
 * Two classes, {@link Engine} and {@link Tokenizer}; what they take ({@link EngineOptions}, {@link Prompt}, {@link GenerateParams}), what they
 * give ({@link Completion}, {@link Chunk}, {@link EngineStats}), what fails ({@link KvasirError}, {@link ErrorCode}). The guides begin with
 * *Getting started*.
 *
 * @packageDocumentation
 * @document guides/getting-started.md
 * @document guides/streaming.md
 * @document guides/chat.md
 * @document guides/many-requests.md
 * @document guides/sampling.md
 * @document guides/memory.md
 * @document guides/errors.md
 * @document guides/deployment.md
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
