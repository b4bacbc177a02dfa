// Shapes of real models and types of weights, as support/make-model.mjs makes files of them.

/**
 * Shapes: SmolLM2-135M, Llama-3.2-1B and Qwen3-0.6B, all with tied embeddings, and Llama-3.1-8B, tied here, too; and Llama-3.2-1B with the
 * vocabulary of SmolLM2, which can draft for it then. Llamas, where it is not said; heads have hidden / heads dimensions, where it is not said.
 */
export const SHAPES = {
  "smollm2-135m": { layers: 30, hidden: 576, heads: 9, kvHeads: 3, ffn: 1536, vocab: 49152, context: 16384 },
  "llama-3.2-1b": { layers: 16, hidden: 2048, heads: 32, kvHeads: 8, ffn: 8192, vocab: 128256, context: 8192 },
  "llama-3.2-1b-49k": { layers: 16, hidden: 2048, heads: 32, kvHeads: 8, ffn: 8192, vocab: 49152, context: 8192 },
  "qwen3-0.6b": {
    architecture: "qwen3",
    layers: 28,
    hidden: 1024,
    heads: 16,
    kvHeads: 8,
    headSize: 128,
    ffn: 3072,
    vocab: 151936,
    context: 40960,
  },
  "llama-3.1-8b": { layers: 32, hidden: 4096, heads: 32, kvHeads: 8, ffn: 14336, vocab: 128256, context: 8192 },
};

/** Types of matrices: GGUF's number, block size, and where a block has its float16 scales, which make a standard deviation of some 0.02. */
const TYPES_OF_WEIGHTS = {
  q8_0: { id: 8, elements: 32, bytes: 34, scales: [[0, 0x0c6b]] }, // 2.7e-4
  q4_0: { id: 2, elements: 32, bytes: 18, scales: [[0, 0x1c84]] }, // 4.4e-3
  q5_0: { id: 6, elements: 32, bytes: 22, scales: [[0, 0x1872]] }, // 2.2e-3
  // 32 levels and mins of 6 bits each: d, dmin. Rows that aren't whole blocks are in q5_0, as llama.cpp's own files have them.
  q4_k: {
    id: 12,
    elements: 256,
    bytes: 144,
    scales: [
      [0, 0x091f], // 1.6e-4
      [2, 0x1031], // 5.1e-4
    ],
    instead: "q5_0",
  },
  bf16: { id: 30, elements: 1, bytes: 2, scales: [] },
  fp8: { elements: 64, bytes: 68 }, // in memory; the embedding is in bf16
};

/** The type of a tensor in a model of `type`: what that doesn't store is stored as another. */
export function typeOf({ name, cols }, type) {
  if (type === "fp8" && name === "token_embd.weight") return TYPES_OF_WEIGHTS.bf16;
  const { elements, instead } = TYPES_OF_WEIGHTS[type];
  return TYPES_OF_WEIGHTS[cols % elements === 0 ? type : instead];
}

/** Bytes of the shape's matrices, all of which a decoded token reads. */
export function weightBytes(name, type = "q8_0") {
  return matricesOf(name).reduce((sum, tensor) => sum + bytesOf(tensor, type), 0);
}

/** The shape's matrices: the embedding, which is the last layer's, too, and those of the layers. */
export function matricesOf(name) {
  return tensorsOf(SHAPES[name]).filter(({ rows }) => rows > 0);
}

/** Of a matrix in a model of `type`, or of a vector, which is in float32. */
export function bytesOf(tensor, type) {
  const { rows, cols } = tensor;
  if (rows === 0) return cols * 4;
  const { elements, bytes } = typeOf(tensor, type);
  return (rows * cols * bytes) / elements;
}

/** All tensors by their names in GGUF; vectors have 0 rows. */
export function tensorsOf({ architecture, layers, hidden, heads, kvHeads, headSize = hidden / heads, ffn, vocab }) {
  const [q, kv] = [headSize * heads, headSize * kvHeads];
  const headNorms = ["attn_q_norm", "attn_k_norm"].map((name) => [name, 0, headSize]);
  const layer = (i) =>
    [
      ["attn_norm", 0, hidden],
      ["attn_q", q, hidden],
      ["attn_k", kv, hidden],
      ["attn_v", kv, hidden],
      ["attn_output", hidden, q],
      ...(architecture === "qwen3" ? headNorms : []),
      ["ffn_norm", 0, hidden],
      ["ffn_gate", ffn, hidden],
      ["ffn_up", ffn, hidden],
      ["ffn_down", hidden, ffn],
    ].map(([name, rows, cols]) => ({ name: `blk.${i}.${name}.weight`, rows, cols }));
  return [
    { name: "token_embd.weight", rows: vocab, cols: hidden },
    { name: "output_norm.weight", rows: 0, cols: hidden },
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
  ];
}
