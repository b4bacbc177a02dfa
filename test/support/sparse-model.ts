import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { safetensorsBytes, writeJson } from "./files.ts";
import { configOf, type ModelShape } from "./models.ts";

/** Bytes of an element in BF16. */
const BYTES = 2;

/** A llama as a Hugging Face directory whose weights are a hole in the file: as large as one likes, on no disk's account. Returns their bytes. */
export async function writeSparseLlama(directory: string, shape: ModelShape): Promise<number> {
  const { hiddenSize: hidden, headSize, feedForwardSize: inner, vocabSize } = shape;
  const [q, kv] = [shape.queryHeads * headSize, shape.kvHeads * headSize];
  const attention = { q_proj: [q, hidden], k_proj: [kv, hidden], v_proj: [kv, hidden], o_proj: [hidden, q] };
  const mlp = { gate_proj: [inner, hidden], up_proj: [inner, hidden], down_proj: [hidden, inner] };
  const layer: Record<string, number[]> = { input_layernorm: [hidden], post_attention_layernorm: [hidden] };
  for (const [name, size] of Object.entries(attention)) layer[`self_attn.${name}`] = size;
  for (const [name, size] of Object.entries(mlp)) layer[`mlp.${name}`] = size;
  const tensors: Record<string, number[]> = { embed_tokens: [vocabSize, hidden], norm: [hidden] };
  for (let i = 0; i < shape.layers; i++) for (const [name, size] of Object.entries(layer)) tensors[`layers.${i}.${name}`] = size;
  let end = 0;
  const header: Record<string, object> = {};
  const place = (name: string, size: number[]): void => {
    const begin = end;
    end += BYTES * size.reduce((product, length) => product * length, 1);
    header[`${name}.weight`] = { dtype: "BF16", shape: size, data_offsets: [begin, end] };
  };
  for (const [name, size] of Object.entries(tensors)) place(`model.${name}`, size);
  place("lm_head", [vocabSize, hidden]);
  const path = join(directory, "model.safetensors");
  const bytes = safetensorsBytes(header, []);
  await mkdir(directory, { recursive: true });
  await writeJson(join(directory, "config.json"), configOf(shape));
  await writeFile(path, bytes);
  await truncate(path, bytes.length + end);
  return end;
}

/** The shape of Llama-3.1-70B. */
export const LARGE: ModelShape = {
  architecture: "llama",
  vocabSize: 128_256,
  hiddenSize: 8192,
  layers: 80,
  queryHeads: 64,
  kvHeads: 8,
  headSize: 128,
  feedForwardSize: 28_672,
  contextLength: 131_072,
  tied: false,
  bias: false,
  window: 0,
  softcap: 0,
};
