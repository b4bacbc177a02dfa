import type { EngineOptions } from "../../lib/api/options.ts";
import { createEngine, type Engine } from "../../lib/engine.ts";
import type { CachePart } from "../../lib/model/kinds.ts";
import type { ModelSource } from "../../lib/model/spec.ts";
import { nativeConfig } from "../../lib/run/parts.ts";
import type { TextTokenizer } from "../../lib/run/text.ts";
import { ANY_THREADS } from "./any-threads.ts";
import type { FakeModel } from "./fake-model.ts";
import { FakeNative } from "./fake-native.ts";
import { checkedOptions } from "./options.ts";

const texts = ["<s>", "</s>", ..."abcdefghijklmnopqrstuvwxyz ", [0xe2], [0x82], [0xac], " the", "<x>"];
export const VOCAB = 40;
export const BOS = 0;
export const EOS = 1;
/** Ids of the three bytes of "€". */
export const EURO = [29, 30, 31] as const;

/** Ids of a text of lower-case letters and spaces, nothing added. */
export function ids(text: string): number[] {
  return [...text].map((char) => texts.indexOf(char));
}

function vocabulary(): TextTokenizer["vocabulary"] {
  const pieces = Array.from({ length: VOCAB }, (_, id) => Buffer.from((texts[id] ?? "") as string));
  const offsets = new Uint32Array(VOCAB + 1);
  for (const [id, piece] of pieces.entries()) offsets[id + 1] = offsets[id]! + piece.length;
  const special = new Uint8Array(VOCAB);
  special[BOS] = 1;
  special[EOS] = 1;
  const bytes = new Uint8Array(Buffer.concat(pieces));
  return {
    size: VOCAB,
    offsets,
    bytes,
    special,
    bosToken: BOS,
    eosToken: EOS,
    endTokens: [EOS],
    addsBos: true,
    prefixSpace: false,
    bosText: "<s>",
    eosText: "</s>",
  };
}

/** A tokenizer of single characters that adds BOS. */
export function fakeTokenizer(encodeMs = 0): TextTokenizer {
  return {
    vocabulary: vocabulary(),
    async encode(text, options) {
      if (encodeMs > 0) await new Promise((resolve) => setTimeout(resolve, encodeMs));
      return Int32Array.from([...(options?.addSpecial === false ? [] : [BOS]), ...ids(text)]);
    },
    encodeChat: async ({ text }) => Int32Array.from(ids(text)),
    detokenize: async (tokens) => Array.from(tokens, (id) => texts[id]).join(""),
    close: async () => {},
  };
}

/** Two cache groups: layer 0 sees all, layer 1 the last 24 tokens. */
export function fakeSource(contextLength = 256): ModelSource {
  const parts: CachePart[] = [
    { elements: 2, type: "kv" },
    { elements: 2, type: "kv" },
  ];
  return {
    name: "fake",
    spec: {
      architecture: "llama",
      vocabSize: VOCAB,
      hiddenSize: 2,
      contextLength,
      norm: { kind: "rms", epsilon: 1e-5 },
      embeddingScale: 1,
      residualScale: 1,
      logitScale: 1,
      logitSoftcap: 0,
      learnedPositions: 0,
      ropes: [{ frequencies: new Float64Array([1]), scale: 1, interleaved: false }],
      cacheGroups: [
        { kind: "all", window: 0, layers: [0], parts },
        { kind: "window", window: 24, layers: [1], parts },
      ],
      layers: [0, 1].map((cacheGroup) => ({
        residual: "sequential",
        mixer: { kind: "attention", queryHeads: 1, kvHeads: 1, headSize: 2, scale: 1, softcap: 0, qkNorm: "none", rope: 0, cacheGroup },
        feedForward: { kind: "gated", size: 1, activation: "silu" },
      })),
    },
    files: [],
    tensors: [],
    tokenizer: undefined,
    chatTemplates: new Map(),
    endTokens: [EOS],
    defaults: { temperature: 0 },
  };
}

export interface FakeEngine {
  engine: Engine;
  native: FakeNative;
  model: FakeModel;
}

/** An engine on the fake native side. By default no token ends generation by chance: the hash model never samples BOS or EOS. */
export function fakeEngine(
  settings: {
    options?: EngineOptions;
    script?: FakeModel["script"];
    broken?: number;
    tokenizer?: TextTokenizer | null;
    contextLength?: number;
    chat?: boolean;
  } = {},
): FakeEngine {
  const source = fakeSource(settings.contextLength);
  const options = checkedOptions({ isa: "portable", ...settings.options }, source, {
    isas: () => ["portable"],
    gpuCount: () => 0,
    gpuFreeBytes: () => undefined,
    ...ANY_THREADS,
  });
  const model: FakeModel = { vocabSize: VOCAB, ...(settings.script && { script: settings.script }) };
  if (settings.broken !== undefined) model.broken = settings.broken;
  const native = new FakeNative(nativeConfig(source, options), model);
  native.load(() => {}).catch(() => {}); // runs before all that follows; rejects if the engine is closed at once
  const engine = createEngine({
    source,
    draft: undefined,
    options,
    native,
    info: { weightBytes: 100, kvCacheBytes: 1000, processor: "fake" },
    tokenizer: settings.tokenizer === null ? undefined : (settings.tokenizer ?? fakeTokenizer()),
    chat: settings.chat
      ? { render: ({ messages }) => ({ text: messages.map(({ content }) => content).join(" "), written: [] }) }
      : undefined,
  });
  return { engine, native, model };
}
