import { emitWarning, KvasirError, KvasirWarning, type Warn } from "../../errors.ts";
import type { TokenizerSource } from "../../model/spec.ts";
import type { OpenedTokenizer, TokenizerCall } from "../../workers/tokenizer-worker.ts";
import { WorkerClient, workerUrl } from "../../workers/worker-client.ts";
import type { RenderedChat } from "../chat/messages.ts";
import { decodeTokens } from "../output/detokenizer.ts";
import type { EncodeOptions } from "./codec.ts";
import type { Vocabulary } from "./vocabulary.ts";

export type { EncodeOptions } from "./codec.ts";

/** Text to tokens and back. Encoding runs in one worker, which holds the only copy of the tokenizer; this thread has the vocabulary's bytes. */
export class TokenizerClient {
  readonly vocabulary: Vocabulary;
  readonly #worker: WorkerClient;

  private constructor(worker: WorkerClient, { vocabulary }: OpenedTokenizer) {
    this.#worker = worker;
    this.vocabulary = vocabulary;
  }

  /** Starts the worker, which reads the files. */
  static async open(source: TokenizerSource, warn: Warn = emitWarning): Promise<TokenizerClient> {
    const failure = (reason: string): KvasirError => new KvasirError("INTERNAL", `the tokenizer's worker failed: ${reason}`);
    const worker = new WorkerClient({ module: workerUrl("tokenizer-worker"), data: source, failure });
    try {
      const opened = await worker.call<OpenedTokenizer>({ open: true } satisfies TokenizerCall);
      for (const { code, message } of opened.warnings) warn(new KvasirWarning(code, message));
      return new TokenizerClient(worker, opened);
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  /** Ids of a text; by default with what the tokenizer adds (BOS), and with special tokens parsed. */
  encode(text: string, { addSpecial = true, parseSpecial = true }: EncodeOptions = {}): Promise<Int32Array> {
    return this.#worker.call({ text, options: { addSpecial, parseSpecial } } satisfies TokenizerCall);
  }

  /** Ids of a rendered chat: special tokens are parsed in what the template wrote and never in what it was given. Nothing is added. */
  encodeChat(chat: RenderedChat): Promise<Int32Array> {
    return this.#worker.call({ chat } satisfies TokenizerCall);
  }

  /** The raw text of a sequence, special tokens kept; what the tokenizer itself adds before a text (BOS, a space) is left out. */
  detokenize(tokens: ArrayLike<number>): string {
    return decodeTokens(this.vocabulary, tokens);
  }

  /** Ends the worker; calls under way reject with CLOSED. */
  close(): Promise<void> {
    return this.#worker.close();
  }
}
