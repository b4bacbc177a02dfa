import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/**
 * The addon and a tiny random model for it, without lib/: children and workers run this file as it is, and the tests of the addon ask what
 * the native side answers by itself.
 */

export const addon = createRequire(import.meta.url)("node-gyp-build")(fileURLToPath(new URL("../../..", import.meta.url)));

export const SHAPE = { vocab: 96, hidden: 32, layers: 3, queryHeads: 4, kvHeads: 2, headSize: 8, mlp: 48, pageSize: 16 };
const LIMITS = { maxSlots: 8, maxBatchTokens: 1024, maxContext: 1024 };
/** Pages of the second group, whose layer sees 32 tokens. */
const WINDOW = 32;

/** Integers in [0, below), the same for a seed (xorshift32). */
export function randomIntegers(seed) {
  let state = (seed + 1) * 0x9e3779b1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A NativeConfig; the weights go to `path`. */
export function tinyConfig(path, overrides = {}) {
  const { spec, tensors } = describeModel();
  const size = layOut(tensors);
  const random = randomIntegers(7);
  writeFileSync(
    path,
    Float32Array.from({ length: size / 4 }, () => (random(2001) - 1000) / 4000),
  );
  return {
    spec,
    tensors,
    files: [{ path, size }],
    device: { kind: "cpu", isa: "portable", threads: 1 },
    compute: "f32",
    kvType: "f32",
    pageSize: SHAPE.pageSize,
    pages: [128, 128],
    ...LIMITS,
    ...overrides,
  };
}

function describeModel() {
  const { vocab, hidden, layers, queryHeads, kvHeads, headSize, mlp } = SHAPE;
  const layer = (index) => ({
    mixer: {
      kind: "attention",
      queryHeads,
      kvHeads,
      headSize,
      scale: headSize ** -0.5,
      softcap: 0,
      qkNorm: "none",
      rope: 0,
      cacheGroup: index === layers - 1 ? 1 : 0,
    },
    residual: "sequential",
    feedForward: { kind: "gated", size: mlp, activation: "silu" },
  });
  const tensors = [
    ["embed", [vocab, hidden]],
    ["final_norm", [hidden]],
  ];
  const [q, kv] = [queryHeads * headSize, kvHeads * headSize];
  const cacheParts = [
    { elements: kv, type: "kv" },
    { elements: kv, type: "kv" },
  ];
  const parts = { attn_norm: [hidden], mlp_norm: [hidden], q: [q, hidden], k: [kv, hidden], v: [kv, hidden], o: [hidden, q] };
  for (let i = 0; i < layers; i++) {
    for (const [name, shape] of Object.entries({ ...parts, gate: [mlp, hidden], up: [mlp, hidden], down: [hidden, mlp] }))
      tensors.push([`layers.${i}.${name}`, shape]);
  }
  const spec = {
    architecture: "tiny",
    vocabSize: vocab,
    hiddenSize: hidden,
    contextLength: 1024,
    norm: { kind: "rms", epsilon: 1e-6 },
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    logitSoftcap: 0,
    learnedPositions: 0,
    ropes: [{ frequencies: Float64Array.of(1, 0.1, 0.01, 0.001), scale: 1, interleaved: false }],
    cacheGroups: [
      { kind: "all", window: 0, layers: Array.from({ length: layers - 1 }, (_, i) => i), parts: cacheParts },
      { kind: "window", window: WINDOW, layers: [layers - 1], parts: cacheParts },
    ],
    layers: Array.from({ length: layers }, (_, i) => layer(i)),
  };
  return { spec, tensors: tensors.map(([name, shape]) => ({ name, shape, file: 0, offset: 0, type: "F32", plusOne: shape.length === 1 })) };
}

/** Gives each tensor its place; returns the file's size. */
function layOut(tensors) {
  let end = 0;
  for (const tensor of tensors) {
    tensor.offset = end;
    end += tensor.shape.reduce((product, size) => product * size, 4);
  }
  return end;
}

export function slotConfig(overrides = {}) {
  return {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    typicalP: 1,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    biasTokens: new Int32Array(),
    biasValues: new Float64Array(),
    seed: 1n,
    minTokens: 0,
    endTokens: new Int32Array(),
    logprobs: -1,
    tokens: new Int32Array(),
    promptLength: 0,
    ...overrides,
  };
}

/** Outputs that a row of each kind has, unless it says otherwise: none, sample, logits, score. */
const OUTPUTS = [() => 0, () => 1, () => 1, (row) => row.tokens.length];

/**
 * StepBuffers of rows { slot, start, tokens, output, outputs, next, wantLogits }, with results of the right size. A slot owns the same
 * pages in each test: `slot * pagesPerSlot` on, in both groups (no page before the window is given back).
 */
export function stepBuffers(rows, pagesPerSlot = 16) {
  const integers = (of) => Int32Array.from(rows, of);
  const outIndptr = ends(rows.map((row) => row.outputs ?? OUTPUTS[row.output](row)));
  const outputs = outIndptr.at(-1);
  return {
    rowCount: rows.length,
    slots: integers((row) => row.slot),
    qIndptr: Int32Array.from(ends(rows.map((row) => row.tokens.length))),
    starts: integers((row) => row.start),
    tokens: Int32Array.from(rows.flatMap((row) => [...row.tokens])),
    kinds: integers((row) => row.output),
    outIndptr: Int32Array.from(outIndptr),
    nextTokens: integers((row) => row.next ?? -1),
    ...pageTables(rows, pagesPerSlot),
    ...logitRows(rows, outIndptr),
    ...results(outputs),
  };
}

export function results(outputs) {
  return {
    sampled: new Int32Array(outputs),
    logprobs: new Float32Array(outputs),
    topTokens: new Int32Array(outputs * 20),
    topLogprobs: new Float32Array(outputs * 20),
  };
}

/** Where each of such counts ends, with where the first begins. */
function ends(counts, base = 0) {
  return [base, ...counts.map((_, i) => counts.slice(0, i + 1).reduce((sum, count) => sum + count, base))];
}

function pageTables(rows, pagesPerSlot) {
  const pages = rows.map(({ slot, start, tokens }) => {
    return Array.from({ length: Math.ceil((start + tokens.length) / SHAPE.pageSize) }, (_, p) => slot * pagesPerSlot + p);
  });
  const lengths = pages.map((own) => own.length);
  const kvPages = [...pages.flat(), ...pages.flat()];
  return {
    kvIndptr: Int32Array.from([...ends(lengths), ...ends(lengths, kvPages.length / 2)]),
    kvFirst: new Int32Array(2 * rows.length),
    kvPages: Int32Array.from(kvPages),
  };
}

/** Room for the logits of rows that want them, or have to (output 2). */
function logitRows(rows, outIndptr) {
  let end = 0;
  const places = rows.map(({ output, wantLogits }, b) => {
    if (output !== 2 && !wantLogits) return -1;
    const place = end;
    end += outIndptr[b + 1] - outIndptr[b];
    return place;
  });
  return { logitRows: Int32Array.from(places), logits: end === 0 ? undefined : new Float32Array(end * SHAPE.vocab) };
}

/** A step that takes a while: one row of `count` tokens. */
export function longStep(count = LIMITS.maxBatchTokens) {
  return stepBuffers([{ slot: 0, start: 0, tokens: new Int32Array(count).fill(1), output: 1 }], 64);
}
