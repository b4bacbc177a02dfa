import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeFloats, type MetadataValue, type TensorInput, writeGguf, writeJson, writeSafetensors } from "../support/files.ts";
import { expectSameBits } from "../support/ops.ts";
import { Random } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { EXACT, withEngine } from "./support/engines.ts";

/**
 * gpt2 and gpt-neox of one layer, as transformers and as llama.cpp lay their matrices: transposed or not, q, k and v of each head together or
 * one after the other. The same weights have to give the same bits. Some matrices are more than what is read at once.
 */

const directory = temporaryDirectory();
const [HIDDEN, HEADS, INNER, VOCAB, POSITIONS] = [544, 4, 2176, 40, 32];
const HEAD = HIDDEN / HEADS;

const random = new Random(7);
const matrix = (rows: number, columns: number): Float32Array => random.floats(rows * columns, columns ** -0.5);
const weights = {
  embed: matrix(VOCAB, HIDDEN),
  positions: matrix(POSITIONS, HIDDEN),
  q: matrix(HIDDEN, HIDDEN),
  k: matrix(HIDDEN, HIDDEN),
  v: matrix(HIDDEN, HIDDEN),
  o: matrix(HIDDEN, HIDDEN),
  up: matrix(INNER, HIDDEN),
  down: matrix(HIDDEN, INNER),
  qkvBias: random.floats(3 * HIDDEN),
  innerBias: random.floats(INNER),
  bias: random.floats(HIDDEN),
};
const qkv = Float32Array.from([...weights.q, ...weights.k, ...weights.v]);

const tensor = (name: string, values: Float32Array, ...shape: number[]): TensorInput => {
  const data = encodeFloats("F32", values);
  return { name, type: "F32", shape, data };
};
const vector = (name: string, values: Float32Array): TensorInput => tensor(name, values, values.length);

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** Rows of `width` of q, k and v, head by head. */
function byHeads(values: Float32Array, width: number): Float32Array {
  const size = HEAD * width;
  const heads = Array.from({ length: 3 * HEADS }, (_, i) => ((i % 3) * HEADS + Math.floor(i / 3)) * size);
  return Float32Array.from(heads.flatMap((at) => [...values.subarray(at, at + size)]));
}

function ggufTensors(): TensorInput[] {
  const norm = (name: string): TensorInput[] => [vector(`${name}.weight`, weights.bias), vector(`${name}.bias`, weights.bias)];
  return [
    tensor("token_embd.weight", weights.embed, VOCAB, HIDDEN),
    ...norm("output_norm"),
    ...norm("blk.0.attn_norm"),
    ...norm("blk.0.ffn_norm"),
    tensor("blk.0.attn_qkv.weight", qkv, 3 * HIDDEN, HIDDEN),
    vector("blk.0.attn_qkv.bias", weights.qkvBias),
    tensor("blk.0.attn_output.weight", weights.o, HIDDEN, HIDDEN),
    vector("blk.0.attn_output.bias", weights.bias),
    tensor("blk.0.ffn_up.weight", weights.up, INNER, HIDDEN),
    vector("blk.0.ffn_up.bias", weights.innerBias),
    tensor("blk.0.ffn_down.weight", weights.down, HIDDEN, INNER),
    vector("blk.0.ffn_down.bias", weights.bias),
  ];
}

function huggingFaceGpt2(): TensorInput[] {
  const norm = (name: string): TensorInput[] => [vector(`${name}.weight`, weights.bias), vector(`${name}.bias`, weights.bias)];
  return [
    tensor("wte.weight", weights.embed, VOCAB, HIDDEN),
    tensor("wpe.weight", weights.positions, POSITIONS, HIDDEN),
    ...norm("ln_f"),
    ...norm("h.0.ln_1"),
    ...norm("h.0.ln_2"),
    tensor("h.0.attn.bias", new Float32Array(1), 1, 1),
    tensor("h.0.attn.c_attn.weight", transposed(qkv, 3 * HIDDEN, HIDDEN), HIDDEN, 3 * HIDDEN),
    vector("h.0.attn.c_attn.bias", weights.qkvBias),
    tensor("h.0.attn.c_proj.weight", transposed(weights.o, HIDDEN, HIDDEN), HIDDEN, HIDDEN),
    vector("h.0.attn.c_proj.bias", weights.bias),
    tensor("h.0.mlp.c_fc.weight", transposed(weights.up, INNER, HIDDEN), HIDDEN, INNER),
    vector("h.0.mlp.c_fc.bias", weights.innerBias),
    tensor("h.0.mlp.c_proj.weight", transposed(weights.down, HIDDEN, INNER), INNER, HIDDEN),
    vector("h.0.mlp.c_proj.bias", weights.bias),
  ];
}

function huggingFaceNeox(): TensorInput[] {
  const norm = (name: string): TensorInput[] => [vector(`${name}.weight`, weights.bias), vector(`${name}.bias`, weights.bias)];
  const layer = "gpt_neox.layers.0.";
  return [
    tensor("gpt_neox.embed_in.weight", weights.embed, VOCAB, HIDDEN),
    ...norm("gpt_neox.final_layer_norm"),
    ...norm(`${layer}input_layernorm`),
    ...norm(`${layer}post_attention_layernorm`),
    tensor(`${layer}attention.query_key_value.weight`, byHeads(qkv, HIDDEN), 3 * HIDDEN, HIDDEN),
    vector(`${layer}attention.query_key_value.bias`, byHeads(weights.qkvBias, 1)),
    tensor(`${layer}attention.dense.weight`, weights.o, HIDDEN, HIDDEN),
    vector(`${layer}attention.dense.bias`, weights.bias),
    tensor(`${layer}mlp.dense_h_to_4h.weight`, weights.up, INNER, HIDDEN),
    vector(`${layer}mlp.dense_h_to_4h.bias`, weights.innerBias),
    tensor(`${layer}mlp.dense_4h_to_h.weight`, weights.down, HIDDEN, INNER),
    vector(`${layer}mlp.dense_4h_to_h.bias`, weights.bias),
  ];
}

async function writeTwins(name: string, config: object, tensors: TensorInput[], own: TensorInput[]): Promise<[string, string]> {
  const [folder, file] = [join(directory, name), join(directory, `${name}.gguf`)];
  await mkdir(folder);
  await writeJson(join(folder, "config.json"), config);
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  const settings: Record<string, MetadataValue> = {
    embedding_length: HIDDEN,
    block_count: 1,
    feed_forward_length: INNER,
    context_length: POSITIONS,
    "attention.head_count": HEADS,
    "attention.layer_norm_epsilon": { type: "f32", value: 1e-5 },
    ...(name === "gptneox" ? { "rope.dimension_count": HEAD / 4 } : {}),
  };
  const metadata: Record<string, MetadataValue> = { "general.architecture": name };
  for (const [key, value] of Object.entries(settings)) metadata[`${name}.${key}`] = value;
  await writeGguf(file, { metadata, tensors: [...ggufTensors(), ...own] });
  return [folder, file];
}

async function expectTwins(twins: readonly string[]): Promise<void> {
  const tokens = Int32Array.from({ length: 20 }, (_, i) => (i * 7) % VOCAB);
  const logits: Float32Array[] = [];
  for (const path of twins)
    logits.push((await withEngine(path, { ...EXACT, maxContext: 999 }, (engine) => engine.score(tokens, { logits: true }))).logits!);
  expect(logits[0]!.every(Number.isFinite)).toBe(true);
  expectSameBits(logits[0]!, logits[1]!);
}

test("gpt2: transposed matrices; a context beyond the learned positions is cut", async () => {
  const sizes = { n_embd: HIDDEN, n_head: HEADS, n_layer: 1, n_inner: INNER, n_positions: POSITIONS };
  const own = [tensor("position_embd.weight", weights.positions, POSITIONS, HIDDEN)];
  const twins = await writeTwins("gpt2", { model_type: "gpt2", vocab_size: VOCAB, ...sizes }, huggingFaceGpt2(), own);
  await expectTwins(twins);
  expect(await withEngine(twins[0], { ...EXACT, maxContext: 999 }, async (engine) => engine.stats().maxContext)).toBe(POSITIONS);
});

test("gpt-neox: q, k and v of each head together", async () => {
  const sizes = { hidden_size: HIDDEN, num_attention_heads: HEADS, num_hidden_layers: 1, intermediate_size: INNER };
  const config = { model_type: "gpt_neox", vocab_size: VOCAB, max_position_embeddings: POSITIONS, tie_word_embeddings: true, ...sizes };
  await expectTwins(await writeTwins("gptneox", config, huggingFaceNeox(), []));
});
