import { KvasirError } from "../../errors.ts";
import type { TokenizerSource } from "../../model/spec.ts";
import type { OpenedTokenizer, TokenizerCall } from "../../workers/tokenizer-worker.ts";
import { WorkerClient, workerUrl } from "../../workers/worker-client.ts";
import { startThread } from "../../workers/worker-peer.ts";
import type { RenderedChat } from "../chat/messages.ts";
import { decodeTokens } from "../output/detokenizer.ts";
import type { EncodeOptions } from "./codec.ts";
import type { Vocabulary } from "./vocabulary.ts";

export type { EncodeOptions } from "./codec.ts";

/** What limits the encoding of one prompt. */
export interface EncodeLimits {
  /** A text that takes more tokens for certain is refused with PROMPT_TOO_LONG before it is encoded. Default: no limit. */
  maxTokens?: number;
  /** Ends the call and frees its thread. */
  signal?: AbortSignal | undefined;
}

/** Texts of more UTF-16 units go to the second thread. Chosen: what a thread encodes in a few milliseconds. */
const LONG_TEXT = 16_384;

/** Milliseconds that encoding may take, and UTF-16 units that add one. Chosen: ten times what slow machines take. */
const DEADLINE_MS = 1_800;
const UNITS_PER_MS = 500;

/**
 * Longest text that is taken, in UTF-16 units. Chosen, with the limit of what a text may grow to: the pieces of a text take less than half of a
 * thread's heap, beyond which V8 may abort the process.
 */
const MAX_TEXT = 1 << 22;
const HEAP_MEGABYTES = 1024;

/**
 * Text to tokens and back. Encoding runs in two threads, the second for long texts, so that short ones never wait for them; it starts with the
 * first of these. This thread has the vocabulary's bytes. A text on which a file's rules hang ends its own call: the next one gets a fresh thread.
 */
export class Tokenizer {
  readonly vocabulary: Vocabulary;
  /** Texts of the tokens marked special. */
  readonly specialTexts: string[];
  readonly #bytesPerToken: number;
  readonly #short: WorkerClient;
  readonly #long: WorkerClient;

  private constructor(short: WorkerClient, long: WorkerClient, { vocabulary, specialTexts, bytesPerToken }: OpenedTokenizer) {
    this.#short = short;
    this.#long = long;
    this.vocabulary = vocabulary;
    this.specialTexts = specialTexts;
    this.#bytesPerToken = bytesPerToken;
  }

  /** Starts the thread for short texts, which reads the files. */
  static async open(source: TokenizerSource): Promise<Tokenizer> {
    const failure = (reason: string): KvasirError => new KvasirError("TOKENIZER_FAILED", `the tokenizer's thread was ended: ${reason}`);
    const settings = { module: workerUrl("tokenizer-worker"), start: startThread(HEAP_MEGABYTES), data: source, failure };
    const short = new WorkerClient(settings);
    try {
      return new Tokenizer(short, new WorkerClient(settings), await short.call<OpenedTokenizer>({ open: true } satisfies TokenizerCall));
    } catch (error) {
      await short.close();
      throw error;
    }
  }

  /** Ids of a text; by default with what the tokenizer adds (BOS), and with special tokens parsed. */
  encode(text: string, { addSpecial = true, parseSpecial = true }: EncodeOptions = {}, limits: EncodeLimits = {}): Promise<Int32Array> {
    return this.#encode({ text, options: { addSpecial, parseSpecial } }, text, limits);
  }

  /** Ids of a rendered chat: special tokens are parsed in what the template wrote and never in what it was given. Nothing is added. */
  encodeChat(chat: RenderedChat, limits: EncodeLimits = {}): Promise<Int32Array> {
    return this.#encode({ chat }, chat.text, limits);
  }

  /** The raw text of a sequence, special tokens kept; what the tokenizer itself adds before a text (BOS, a space) is left out. */
  detokenize(tokens: ArrayLike<number>): string {
    return decodeTokens(this.vocabulary, tokens);
  }

  /** Ends the threads; calls under way reject with CLOSED. */
  async close(): Promise<void> {
    await Promise.all([this.#short.close(), this.#long.close()]);
  }

  async #encode(call: TokenizerCall, text: string, { maxTokens = Number.POSITIVE_INFINITY, signal }: EncodeLimits): Promise<Int32Array> {
    this.#checkLength(text, maxTokens);
    const worker = text.length > LONG_TEXT ? this.#long : this.#short;
    return await worker.call<Int32Array>(call, { deadlineMs: DEADLINE_MS + Math.ceil(text.length / UNITS_PER_MS), signal });
  }

  #checkLength(text: string, maxTokens: number): void {
    // Counting bytes takes time, which few texts are worth.
    const least = 3 * text.length > maxTokens * this.#bytesPerToken ? Math.ceil(Buffer.byteLength(text) / this.#bytesPerToken) : 0;
    if (least > maxTokens)
      throw new KvasirError(
        "PROMPT_TOO_LONG",
        `the prompt has ${text.length} characters, ${least} tokens at least; expected at most ${maxTokens} tokens`,
      );
    if (text.length > MAX_TEXT)
      throw new KvasirError("INVALID_ARGUMENT", `the text has ${text.length} characters; expected at most ${MAX_TEXT}`);
  }
}
