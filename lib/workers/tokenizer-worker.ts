import { KvasirError } from "../errors.ts";
import type { TokenizerSource } from "../model/spec.ts";
import type { RenderedChat } from "../text/chat/messages.ts";
import { type Codec, type EncodeOptions, encodeChat, wellFormed } from "../text/tokenizer/codec.ts";
import { openCodec } from "../text/tokenizer/source.ts";
import type { Vocabulary } from "../text/tokenizer/vocabulary.ts";
import { serve, type Transferred } from "./worker-server.ts";

/** What the tokenizer's worker is asked. */
export type TokenizerCall = { open: true } | { text: string; options: Required<EncodeOptions> } | { chat: RenderedChat };

/** What it answers to `open`, which is asked once. */
export interface OpenedTokenizer {
  vocabulary: Vocabulary;
  specialTexts: string[];
  bytesPerToken: number;
}

serve(async (source: TokenizerSource) => {
  const codec = await openCodec(source);
  return (call: TokenizerCall): Transferred => {
    if ("open" in call) return opened(codec);
    const ids = Int32Array.from(idsOf(codec, call));
    return { result: ids, transfer: [ids.buffer] };
  };
});

function idsOf(codec: Codec, call: Exclude<TokenizerCall, { open: true }>): number[] {
  try {
    if ("chat" in call) return encodeChat(codec, { ...call.chat, text: wellFormed(call.chat.text) });
    return codec.encode(wellFormed(call.text), call.options);
  } catch (error) {
    // Regular expressions of the file that run out of stack.
    if (error instanceof RangeError) throw new KvasirError("TOKENIZER_FAILED", `the tokenizer could not read the text: ${error.message}`);
    throw error;
  }
}

/** The vocabulary's arrays move to the caller; encoding does not need them. */
function opened({ vocabulary, specials, bytesPerToken }: Codec): Transferred {
  const result: OpenedTokenizer = { vocabulary, specialTexts: specials.tokens.map(({ text }) => text), bytesPerToken };
  const { offsets, bytes, special } = vocabulary;
  return { result, transfer: [offsets.buffer, bytes.buffer, special.buffer] as ArrayBuffer[] };
}
