import { type EngineOptions, optionsBeforeOpen } from "./api/options.ts";
import { checkInteger, checkKeys, checkTokens } from "./check.ts";
import { KvasirError, type KvasirWarning } from "./errors.ts";
import { openText } from "./model/open.ts";
import { closeWhenDropped, forgetDropped } from "./run/dropped.ts";
import { locateModel, nameModel, openLocated } from "./run/locate.ts";
import { encodeText, openTextParts, type TextParts, type TextTokenizer } from "./run/text.ts";
import type { Chat } from "./text/chat/messages.ts";
import { type ChatPrompt, renderChat } from "./text/chat/prompt.ts";
import type { EncodeOptions } from "./text/tokenizer/codec.ts";
import { tokenBytes } from "./text/tokenizer/vocabulary.ts";

/**
 * How a tokenizer is opened.
 *
 * @category Tokenizer
 */
export interface TokenizerOptions {
  /** Called with what is read leniently, or left out, while it is opened (`process.emitWarning`). */
  onWarning?: (warning: KvasirWarning) => void;
  /** Ends downloading or opening, which rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called while a model's files are downloaded. */
  onProgress?: NonNullable<EngineOptions["onProgress"]>;
}

/**
 * A model's tokenizer and chat template without its weights: counts tokens and shows prompts, the same as an `Engine` of that model makes.
 *
 * ```ts
 * await using tokenizer = await Tokenizer.open("tales");
 * const { text, tokens } = await tokenizer.renderChat({ messages: [{ role: "user", content: "Hi" }] });
 * ```
 *
 * @category Tokenizer
 */
export class Tokenizer {
  /** Ids are below this; some may have no token. */
  readonly vocabSize: number;
  readonly #name: string;
  readonly #tokenizer: TextTokenizer;
  readonly #chat: TextParts["chat"];
  #closed: Promise<void> | undefined;

  private constructor(name: string, tokenizer: TextTokenizer, chat: TextParts["chat"]) {
    this.#name = name;
    this.#tokenizer = tokenizer;
    this.#chat = chat;
    this.vocabSize = tokenizer.vocabulary.size;
    closeWhenDropped(this, `the tokenizer of ${name}`, () => tokenizer.close());
  }

  /**
   * Opens `"tales"`, a directory with tokenizer.json, a `.gguf` file, which need not hold more than a vocabulary, or a model of the hub, of
   * which no weights are downloaded unless they are in the same file.
   */
  static async open(model: string, options?: TokenizerOptions): Promise<Tokenizer> {
    const request = optionsBeforeOpen(checkKeys<TokenizerOptions>("options", options, ["onWarning", "signal", "onProgress"]));
    const located = await locateModel(nameModel(model), { ...request, textOnly: true });
    const source = await openLocated(located, (path) => openText(path, request.warn, request.signal));
    const { tokenizer, chat } = await openTextParts(source, request);
    if (tokenizer === undefined)
      throw new KvasirError(
        "NO_TOKENIZER",
        `${located.path} has no tokenizer; expected a directory with tokenizer.json, or a GGUF with a vocabulary`,
      );
    return new Tokenizer(source.name, tokenizer, chat);
  }

  /** Token ids of a text. `addSpecial` (true) adds what the tokenizer adds to a prompt, such as BOS; `parseSpecial` (true) parses special tokens. */
  async encode(text: string, options?: EncodeOptions): Promise<Int32Array> {
    return await encodeText(this.#open(), text, options); // this frame keeps the tokenizer from being collected meanwhile
  }

  /** The raw text of token ids, special tokens kept, so that `decode(await encode(text))` is the text. */
  async decode(tokens: Int32Array | readonly number[]): Promise<string> {
    return await this.#open().detokenize(checkTokens("tokens", tokens, this.vocabSize));
  }

  /** A conversation as the model is given it, as text and as ids. */
  async renderChat(chat: Chat): Promise<ChatPrompt> {
    return await renderChat("chat", chat, { name: this.#name, tokenizer: this.#open(), template: this.#chat });
  }

  /** The bytes of a token, which need not be whole characters: a copy; none for an id without a token. */
  tokenBytes(token: number): Uint8Array {
    return tokenBytes(this.#open().vocabulary, checkInteger("token", token, 0, this.vocabSize - 1)).slice();
  }

  /** Frees the vocabulary; calls under way reject with CLOSED. */
  close(): Promise<void> {
    forgetDropped(this);
    this.#closed ??= this.#tokenizer.close();
    return this.#closed;
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(): TextTokenizer {
    if (this.#closed !== undefined) throw new KvasirError("CLOSED", "the tokenizer was closed");
    return this.#tokenizer;
  }
}
