import type { TokenizerSource } from "../model/spec.ts";
import type { RenderedChat } from "../text/chat/messages.ts";
import { type Codec, type EncodeOptions, encodeChat, wellFormed } from "../text/tokenizer/codec.ts";
import { openCodec } from "../text/tokenizer/source.ts";
import type { Vocabulary } from "../text/tokenizer/vocabulary.ts";
import { noting, type Told } from "./told.ts";
import { serve, type Transferred } from "./worker-server.ts";

/** What the tokenizer's worker is asked. */
export type TokenizerCall = { open: true } | { text: string; options: Required<EncodeOptions> } | { chat: RenderedChat };

/** What it answers to `open`. */
export interface OpenedTokenizer {
  vocabulary: Vocabulary;
  /** No token stands for more bytes of text: see {@link Codec}. */
  bytesPerToken: number;
  warnings: Told[];
}

serve(async (source: TokenizerSource) => {
  const warnings: Told[] = [];
  const codec = await openCodec(source, noting(warnings));
  return (call: TokenizerCall): Transferred => {
    if ("open" in call) return opened(codec, warnings);
    const ids = "chat" in call ? encodeChat(codec, call.chat) : codec.encode(wellFormed(call.text), call.options);
    const result = Int32Array.from(ids);
    return { result, transfer: [result.buffer] };
  };
});

/** The vocabulary's arrays move to the caller; encoding does not need them. */
function opened({ vocabulary, bytesPerToken }: Codec, warnings: Told[]): Transferred {
  const result: OpenedTokenizer = { vocabulary, bytesPerToken, warnings };
  const { offsets, bytes, special } = vocabulary;
  return { result, transfer: [offsets.buffer, bytes.buffer, special.buffer] as ArrayBuffer[] };
}
