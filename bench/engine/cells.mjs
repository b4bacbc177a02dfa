// The cells of the table of speeds, each a case of bench:cpu: shape, type of weights, work; and what bounds them.
import { peakGops } from "../support/peaks.mjs";
import { bytesOf, matricesOf, SHAPES } from "../support/shapes.mjs";

const MODELS = ["smollm2-135m", "qwen3-0.6b", "llama-3.2-1b"];
const TYPES = ["bf16", "q8_0", "q4_0", "q4_k"];
/** Decode: `batch` streams after `context` tokens each, which streams of a long context share. */
const BATCHES = [1, 8, 16, 32];
export const SHORT = 128;
export const LONG = 8192;
const PROMPTS = [128, 512];

/** What isn't measured, and why: every cell that has these fields, or one of several values, of `engine` alone where one is named. */
export const LEFT_OUT = [
  { model: "llama-3.2-1b", context: LONG, reason: "its context is 8,192 tokens, prompt and output" },
  { model: "qwen3-0.6b", type: ["bf16", "q4_0"], context: LONG, reason: "four minutes, most of them in attention, whatever the weights" },
  { prompt: 512, engine: "@fugood/llama.node", reason: "half a minute a prompt of the smallest shape" },
  { model: ["qwen3-0.6b", "llama-3.2-1b"], type: ["bf16", "q4_0", "q4_k"], engine: "@fugood/llama.node", reason: "a minute a run" },
];

/** Whether a cell has these fields, or one of several values of each. */
export function matches(cell, { engine, reason, ...fields }) {
  return Object.entries(fields).every(([field, values]) => [values].flat().includes(cell[field]));
}

/** All that are measured, with their names as cases. */
export const CELLS = MODELS.flatMap((model) => TYPES.flatMap((type) => worksOf({ model, type })))
  .filter((cell) => !LEFT_OUT.some((entry) => entry.engine === undefined && matches(cell, entry)))
  .map((cell) => ({ ...cell, name: nameOf(cell) }));

function worksOf(shape) {
  const decode = [SHORT, LONG].flatMap((context) => BATCHES.map((batch) => ({ ...shape, kind: "decode", batch, context })));
  return [...decode, ...PROMPTS.map((prompt) => ({ ...shape, kind: "prefill", prompt }))];
}

function nameOf({ model, type, kind, batch, context, prompt }) {
  return kind === "decode" ? `decode ${model} ${type} batch ${batch} context ${context}` : `prefill ${model} ${type} prompt ${prompt}`;
}

/** Whether peers measure the cell, too: prompts, and one stream after a short one. */
export function isCompared({ kind, batch, context }) {
  return kind === "prefill" || (batch === 1 && context === SHORT);
}

/** Whether an engine measures a cell. */
export function isMeasuredBy(engine, cell) {
  return engine === "kvasir" || (isCompared(cell) && !LEFT_OUT.some((entry) => entry.engine === engine && matches(cell, entry)));
}

/**
 * What a cell's tokens per second mean: GB/s or Gop/s, by what bounds it, and the share of the ceiling that they are, which is the time that
 * reading or computing takes at least by the time it took, whichever is longer.
 */
export function boundOf(cell, tokensPerSecond, ceilings) {
  const { tokens, bytes, operations } = costOf(cell);
  const seconds = tokens / tokensPerSecond;
  const reading = bytes / 1e9 / ceilings.readGBs;
  const computing =
    operations.matmuls / 1e9 / peakGops(ceilings, cell.type === "bf16" ? "floats" : "int8") +
    operations.attention / 1e9 / peakGops(ceilings, "floats");
  const rate =
    reading >= computing ? { GBs: bytes / 1e9 / seconds } : { Gops: (operations.matmuls + operations.attention) / 1e9 / seconds };
  return { ...rate, ofCeiling: Math.max(reading, computing) / seconds };
}

/** Of one decode step, or one prompt: its tokens, the bytes that it reads at least, and operations: a multiply-add is two. */
export function costOf({ model, type, kind, batch, context, prompt }) {
  const { layers, hidden, heads, kvHeads, headSize = hidden / heads } = SHAPES[model];
  const [head, ...linears] = matricesOf(model);
  const elements = (matrices) => matrices.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  const weights = [head, ...linears].reduce((sum, matrix) => sum + bytesOf(matrix, type), 0);
  const tokenBytes = 2 * layers * kvHeads * headSize * 2; // keys and values in float16
  const pair = 4 * layers * heads * headSize; // operations of a query and a key
  if (kind === "prefill") {
    const matmuls = 2 * (prompt * elements(linears) + elements([head])); // logits of the last token
    return { tokens: prompt, bytes: weights, operations: { matmuls, attention: (pair * prompt * (prompt + 1)) / 2 } };
  }
  const contexts = context === LONG ? 1 : batch;
  return {
    tokens: batch,
    bytes: weights + contexts * context * tokenBytes,
    operations: { matmuls: 2 * batch * elements([head, ...linears]), attention: batch * context * pair },
  };
}
