import { join } from "node:path";
import { MAX_TEXT } from "../../check.ts";
import { counted, emitWarning, KvasirError, type Warn } from "../../errors.ts";
import { fileSizeIfPresent } from "../../files/paths.ts";
import type { TokenizerSource } from "../../model/spec.ts";
import type { OpenedTokenizer, TokenizerCall } from "../../workers/tokenizer-worker.ts";
import { tellAll } from "../../workers/told.ts";
import { workerUrl } from "../../workers/worker-client.ts";
import { WorkerPool } from "../../workers/worker-pool.ts";
import type { RenderedChat } from "../chat/messages.ts";
import { decodeTokens } from "../output/detokenizer.ts";
import type { EncodeOptions } from "./codec.ts";
import type { Vocabulary } from "./vocabulary.ts";

export type { EncodeOptions } from "./codec.ts";

/** What bounds an encoding. */
export interface EncodeLimits {
  /** Ends it at once. */
  signal?: AbortSignal;
  /** A text that has more tokens for certain is PROMPT_TOO_LONG before it is encoded. Default: no limit. */
  maxTokens?: number;
}

/** How a tokenizer is opened. */
export interface TokenizerOpening {
  /** Default: as warnings of Node. */
  warn?: Warn;
  /** Ends it at once. */
  signal?: AbortSignal | undefined;
}

/** Longest text, in UTF-16 units, that is no long call. Chosen: some 10 ms at worst. */
const SHORT_TEXT = 16_384;

/**
 * Milliseconds of processor time: a file that hangs costs its calls the first, a file or text that is merely long gets more, far above what it
 * takes.
 */
const DEADLINE_MS = 1700;
const BYTES_PER_MS = 500;
const CHARACTERS_PER_MS = 100;

/**
 * Text to tokens and back. Encoding runs in threads, two where there are cores, each with its own copy of the tokenizer: long texts take turns in one.
 * This thread has the vocabulary's bytes.
 */
export class TokenizerClient {
  readonly vocabulary: Vocabulary;
  readonly #bytesPerToken: number;
  readonly #workers: WorkerPool;

  private constructor(workers: WorkerPool, { vocabulary, bytesPerToken }: OpenedTokenizer) {
    this.#workers = workers;
    this.vocabulary = vocabulary;
    this.#bytesPerToken = bytesPerToken;
  }

  /** Starts a worker, which reads the files, and behind it the second. */
  static async open(source: TokenizerSource, { warn = emitWarning, signal }: TokenizerOpening = {}): Promise<TokenizerClient> {
    const failure = (reason: string): KvasirError => new KvasirError("TOKENIZER_FAILED", `the tokenizer's thread was ended: ${reason}`);
    const startDeadlineMs = await openingDeadline(source);
    const workers = new WorkerPool({ module: workerUrl("tokenizer-worker"), data: source, startDeadlineMs, failure });
    try {
      const call: TokenizerCall = { open: true };
      const opened = await workers.call<OpenedTokenizer>(call, { long: false, ...(signal !== undefined && { signal }) });
      tellAll(opened.warnings, warn);
      workers.warm();
      return new TokenizerClient(workers, opened);
    } catch (error) {
      await workers.close();
      throw error;
    }
  }

  /** Ids of a text; by default with what the tokenizer adds (BOS), and with special tokens parsed. */
  encode(text: string, options: EncodeOptions & EncodeLimits = {}): Promise<Int32Array> {
    const { addSpecial = true, parseSpecial = true, ...limits } = options;
    return this.#call({ text, options: { addSpecial, parseSpecial } }, text, limits);
  }

  /** Ids of a rendered chat: special tokens are parsed in what the template wrote and never in what it was given. Nothing is added. */
  encodeChat(chat: RenderedChat, limits: EncodeLimits = {}): Promise<Int32Array> {
    return this.#call({ chat }, chat.text, limits);
  }

  /** The raw text of a sequence, special tokens kept; what the tokenizer itself adds before a text (BOS, a space) is left out. */
  detokenize(tokens: Int32Array | readonly number[]): Promise<string> {
    return decodeTokens(this.vocabulary, tokens);
  }

  /** Ends the workers; calls under way reject with CLOSED. */
  close(): Promise<void> {
    return this.#workers.close();
  }

  async #call(call: TokenizerCall, text: string, { signal, maxTokens = Number.POSITIVE_INFINITY }: EncodeLimits): Promise<Int32Array> {
    const bytes = text.length > MAX_TEXT ? text.length : Buffer.byteLength(text); // of a text that is too long in any case: at least so many
    const least = Math.ceil(bytes / this.#bytesPerToken);
    if (least > maxTokens) {
      throw new KvasirError(
        "PROMPT_TOO_LONG",
        `the prompt has ${counted(bytes, "byte")}, so at least ${counted(least, "token")}; expected at most ${maxTokens} with what is generated`,
      );
    }
    if (text.length > MAX_TEXT)
      throw new KvasirError("INVALID_ARGUMENT", `the text has ${counted(text.length, "character")}; expected at most ${MAX_TEXT}`);
    const deadlineMs = DEADLINE_MS + Math.ceil(text.length / CHARACTERS_PER_MS);
    return this.#workers.call<Int32Array>(call, { long: text.length > SHORT_TEXT, deadlineMs, ...(signal !== undefined && { signal }) });
  }
}

/** A GGUF holds no program, and most of it isn't read: it has no deadline. */
async function openingDeadline(source: TokenizerSource): Promise<number | undefined> {
  if (source.kind === "gguf") return undefined;
  const sizes = ["tokenizer.json", "tokenizer_config.json"].map((name) => fileSizeIfPresent(join(source.directory, name)));
  const bytes = (await Promise.all(sizes)).reduce<number>((sum, size = 0) => sum + size, 0);
  return DEADLINE_MS + Math.ceil(bytes / BYTES_PER_MS);
}
