// Hugging Face directories with weights in F8_E4M3, as transformers' FineGrainedFP8Config says: of a shape's matrices all but the embedding.
import { mkdirSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";

/** Rows and columns that share a scale. */
const BLOCK = 128;

/** GGUF's names of tensors in Hugging Face files. */
const NAMES = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

function nameOf(gguf) {
  const [, layer, name] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(gguf) ?? [];
  return layer === undefined ? NAMES[gguf] : `model.layers.${layer}.${NAMES[name]}.weight`;
}

/** Writes a directory of a shape whose tensors are { name, rows, cols }; `patterns`: bytes that are repeated, of elements and of bfloat16. */
export async function writeFp8Directory(directory, shape, tensors, patterns) {
  mkdirSync(directory, { recursive: true });
  await writeFile(`${directory}/config.json`, JSON.stringify(configOf(shape)));
  const stored = tensors.flatMap((tensor) => storedOf(tensor, patterns));
  let end = 0;
  const header = Object.fromEntries(
    stored.map(({ name, dtype, shape: sizes, bytes }) => {
      const begin = end;
      end += bytes;
      return [name, { dtype, shape: sizes, data_offsets: [begin, end] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = await open(`${directory}/model.safetensors`, "w");
  await file.write(Buffer.concat([length, text]));
  for (const { bytes, pattern } of stored)
    for (let at = 0; at < bytes; at += pattern.length) await file.write(pattern, 0, Math.min(pattern.length, bytes - at));
  await file.close();
}

const ONE = Buffer.from([0x80, 0x3f]); // in bfloat16
const SCALE = Buffer.from([0x80, 0x39]); // 2^-12, which makes a standard deviation of some 0.02

function storedOf({ name: gguf, rows, cols }, { elements, halves }) {
  const name = nameOf(gguf);
  if (rows === 0) return [{ name, dtype: "BF16", shape: [cols], bytes: 2 * cols, pattern: repeated(ONE, cols) }];
  if (gguf === "token_embd.weight") return [{ name, dtype: "BF16", shape: [rows, cols], bytes: 2 * rows * cols, pattern: halves }];
  const grid = [Math.ceil(rows / BLOCK), Math.ceil(cols / BLOCK)];
  const scales = repeated(SCALE, grid[0] * grid[1]);
  return [
    { name, dtype: "F8_E4M3", shape: [rows, cols], bytes: rows * cols, pattern: elements },
    { name: `${name}_scale_inv`, dtype: "BF16", shape: grid, bytes: scales.length, pattern: scales },
  ];
}

const repeated = (number, count) => Buffer.alloc(2 * count, number);

function configOf({ architecture = "llama", layers, hidden, heads, kvHeads, headSize = hidden / heads, ffn, vocab, context }) {
  return {
    model_type: architecture,
    vocab_size: vocab,
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headSize,
    max_position_embeddings: context,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: "silu",
    tie_word_embeddings: true,
    quantization_config: { quant_method: "fp8", fmt: "e4m3", activation_scheme: "dynamic", weight_block_size: [BLOCK, BLOCK] },
  };
}
