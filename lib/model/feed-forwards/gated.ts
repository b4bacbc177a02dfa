import type { Kind } from "../kinds.ts";

/** What a feed-forward applies to its inner values; gelu is the exact one, by erf. */
export type Activation = "silu" | "gelu_tanh" | "gelu";

/** Gated MLP: down(activation(gate(x)) * up(x)). Biases are there when their tensors are. */
export interface GatedSpec {
  kind: "gated";
  /** Outputs of gate and up. */
  size: number;
  activation: Activation;
}

/** What a family's gated MLP may have beyond its three matrices. */
export type GatedExtra = "mlpBias";

/** The gated MLP's tensors. */
export const gated: Kind<GatedSpec, GatedExtra> = {
  tensors({ size }, hiddenSize) {
    return [
      { name: "gate", shape: [size, hiddenSize], huggingFace: "mlp.gate_proj.weight", gguf: "ffn_gate.weight" },
      { name: "up", shape: [size, hiddenSize], huggingFace: "mlp.up_proj.weight", gguf: "ffn_up.weight" },
      { name: "down", shape: [hiddenSize, size], huggingFace: "mlp.down_proj.weight", gguf: "ffn_down.weight" },
      { name: "gate_bias", shape: [size], huggingFace: "mlp.gate_proj.bias", gguf: "ffn_gate.bias", extra: "mlpBias" },
      { name: "up_bias", shape: [size], huggingFace: "mlp.up_proj.bias", gguf: "ffn_up.bias", extra: "mlpBias" },
      { name: "down_bias", shape: [hiddenSize], huggingFace: "mlp.down_proj.bias", gguf: "ffn_down.bias", extra: "mlpBias" },
    ];
  },
};
