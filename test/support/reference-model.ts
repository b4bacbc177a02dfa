import { isGemma, LOGIT_CAP, type ModelShape } from "./models.ts";
import { roundElement } from "./reference.ts";

/**
 * The forward pass of llama, qwen3, gemma2 and gemma3 in float64, plain loops, one token after the other, written from the papers: RMSNorm
 * (Zhang & Sennrich), rotary embeddings (Su et al.), grouped-query attention (Ainslie et al.), gated MLPs (Shazeer), and the reports of the
 * models for what is theirs (qwen3: norms on the heads of q and k; gemma3: windows in five of six layers with a rope of their own, norms
 * around both halves of a layer, norms that multiply by 1 + w, scaled embeddings; gemma2: windows in every other layer, capped scores and
 * logits, no norms on heads, the rest as gemma3). It shares nothing with what it judges.
 */

/** The elements of each tensor, by its name in a Hugging Face file; matrices [outputs, inputs]. */
export type ReferenceWeights = ReadonlyMap<string, ArrayLike<number>>;

/** What a file of the shape leaves to the family's conventions. */
export interface ReferenceForm {
  /** Norm weights are stored without their 1 (gemma in Hugging Face files). */
  normsPlusOne: boolean;
  /** Pairs of rotated dimensions are neighbours (llama in GGUF files), not half a head apart. */
  neighbours: boolean;
  /** Keys and values are rounded to this type. */
  cache?: "F8_E4M3";
}

const EPSILON = 1e-6;

/** Logits [T, V] of a sequence. */
export function referenceLogits(
  shape: ModelShape,
  weights: ReferenceWeights,
  tokens: ArrayLike<number>,
  form: ReferenceForm,
): Float64Array<ArrayBuffer> {
  return new ReferenceModel(shape, weights, form).logits(tokens);
}

/** Keys and values of the positions so far, [position][kvHeads * headSize]. */
interface Past {
  keys: Float64Array[];
  values: Float64Array[];
}

class ReferenceModel {
  readonly #shape: ModelShape;
  readonly #weights: ReferenceWeights;
  readonly #form: ReferenceForm;

  constructor(shape: ModelShape, weights: ReferenceWeights, form: ReferenceForm) {
    this.#shape = shape;
    this.#weights = weights;
    this.#form = form;
  }

  logits(tokens: ArrayLike<number>): Float64Array<ArrayBuffer> {
    const { vocabSize, hiddenSize, layers, tied, architecture } = this.#shape;
    const embeddings = this.#tensor("model.embed_tokens.weight");
    const head = tied ? "model.embed_tokens" : "lm_head";
    const scale = isGemma(architecture) ? Math.sqrt(hiddenSize) : 1;
    const past = Array.from({ length: layers }, (): Past => ({ keys: [], values: [] }));
    const logits = new Float64Array(tokens.length * vocabSize);
    for (let t = 0; t < tokens.length; t++) {
      let x = Float64Array.from({ length: hiddenSize }, (_, i) => scale * embeddings[tokens[t]! * hiddenSize + i]!);
      for (let layer = 0; layer < layers; layer++) x = this.#layer(x, layer, past[layer]!);
      const last = this.#project(head, this.#norm("model.norm", x));
      logits.set(architecture === "gemma2" ? last.map((logit) => capped(logit, LOGIT_CAP)) : last, t * vocabSize);
    }
    return logits;
  }

  #layer(x: Float64Array, layer: number, past: Past): Float64Array<ArrayBuffer> {
    const sandwich = isGemma(this.#shape.architecture);
    const name = (part: string): string => `model.layers.${layer}.${part}`;
    const mixed = this.#attention(this.#norm(name("input_layernorm"), x), layer, past);
    const middle = add(x, sandwich ? this.#norm(name("post_attention_layernorm"), mixed) : mixed);
    const before = this.#norm(name(sandwich ? "pre_feedforward_layernorm" : "post_attention_layernorm"), middle);
    const activation = sandwich ? gelu : silu;
    const up = this.#project(name("mlp.up_proj"), before);
    const gated = this.#project(name("mlp.gate_proj"), before).map((value, i) => activation(value) * up[i]!);
    const fed = this.#project(name("mlp.down_proj"), gated);
    return add(middle, sandwich ? this.#norm(name("post_feedforward_layernorm"), fed) : fed);
  }

  #attention(x: Float64Array, layer: number, past: Past): Float64Array<ArrayBuffer> {
    const { queryHeads, kvHeads, headSize, architecture, softcap } = this.#shape;
    const query = this.#heads("q", x, layer, past.keys.length);
    const kept = (heads: Float64Array) => heads.map((value) => roundElement(this.#form.cache ?? "", value));
    past.keys.push(kept(this.#heads("k", x, layer, past.keys.length)));
    past.values.push(kept(this.#project(`model.layers.${layer}.self_attn.v_proj`, x)));
    const window = this.#isSliding(layer) ? this.#shape.window : past.keys.length;
    const first = Math.max(0, past.keys.length - window);
    const mixed = new Float64Array(queryHeads * headSize);
    for (let head = 0; head < queryHeads; head++) {
      const own = query.subarray(head * headSize, (head + 1) * headSize);
      const at = Math.floor((head * kvHeads) / queryHeads) * headSize;
      const scores = past.keys.slice(first).map((key) => dot(own, key.subarray(at, at + headSize)) / Math.sqrt(headSize));
      const shares = softmax(architecture === "gemma2" ? scores.map((score) => capped(score, softcap)) : scores);
      for (const [i, share] of shares.entries())
        for (let d = 0; d < headSize; d++) mixed[head * headSize + d]! += share * past.values[first + i]![at + d]!;
    }
    return this.#project(`model.layers.${layer}.self_attn.o_proj`, mixed);
  }

  /** Projected, normalized where the family does so, and turned. */
  #heads(which: "q" | "k", x: Float64Array, layer: number, position: number): Float64Array<ArrayBuffer> {
    const { headSize, architecture } = this.#shape;
    const all = this.#project(`model.layers.${layer}.self_attn.${which}_proj`, x);
    for (let at = 0; at < all.length; at += headSize) {
      let head = all.slice(at, at + headSize);
      if (architecture === "qwen3" || architecture === "gemma3") head = this.#norm(`model.layers.${layer}.self_attn.${which}_norm`, head);
      all.set(this.#turn(head, position, architecture === "gemma3" && !this.#isSliding(layer) ? 1e6 : 1e4), at);
    }
    return all;
  }

  #turn(head: Float64Array, position: number, base: number): Float64Array<ArrayBuffer> {
    const turned = new Float64Array(head.length);
    const pairs = head.length / 2;
    for (let i = 0; i < pairs; i++) {
      const [a, b] = this.#form.neighbours ? [2 * i, 2 * i + 1] : [i, i + pairs];
      const angle = position * base ** (-i / pairs);
      turned[a] = head[a]! * Math.cos(angle) - head[b]! * Math.sin(angle);
      turned[b] = head[b]! * Math.cos(angle) + head[a]! * Math.sin(angle);
    }
    return turned;
  }

  /** Gemma3: every sixth layer sees all; gemma2: every other one. */
  #isSliding(layer: number): boolean {
    return isGemma(this.#shape.architecture) && (layer + 1) % (this.#shape.architecture === "gemma2" ? 2 : 6) !== 0;
  }

  #norm(name: string, x: Float64Array): Float64Array<ArrayBuffer> {
    const weight = this.#tensor(`${name}.weight`);
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + EPSILON);
    return x.map((value, i) => value * scale * (weight[i]! + (this.#form.normsPlusOne ? 1 : 0)));
  }

  #project(name: string, x: Float64Array): Float64Array<ArrayBuffer> {
    const weight = this.#tensor(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`);
    const y = new Float64Array(weight.length / x.length);
    for (let row = 0; row < y.length; row++) {
      let sum = bias?.[row] ?? 0;
      for (let i = 0; i < x.length; i++) sum += weight[row * x.length + i]! * x[i]!;
      y[row] = sum;
    }
    return y;
  }

  #tensor(name: string): ArrayLike<number> {
    const tensor = this.#weights.get(name);
    if (tensor === undefined) throw new Error(`the reference model lacks ${name}`);
    return tensor;
  }
}

function add(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return a.map((value, i) => value + b[i]!);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function capped(x: number, cap: number): number {
  return cap * Math.tanh(x / cap);
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** GELU by its tanh approximation (Hendrycks & Gimpel). */
function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
