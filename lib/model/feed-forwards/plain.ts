import type { Kind } from "../kinds.ts";
import type { Activation } from "./gated.ts";

/** Plain MLP: down(activation(up(x))). Biases are there when their tensors are. */
export interface PlainSpec {
  kind: "plain";
  /** Outputs of up. */
  size: number;
  activation: Activation;
}

/** What a family's plain MLP may have beyond its two matrices. */
export type PlainExtra = "mlpBias";

/** The plain MLP's tensors. */
export const plain: Kind<PlainSpec, PlainExtra> = {
  tensors({ size }, hiddenSize) {
    return [
      { name: "up", shape: [size, hiddenSize], huggingFace: "mlp.up_proj.weight", gguf: "ffn_up.weight" },
      { name: "down", shape: [hiddenSize, size], huggingFace: "mlp.down_proj.weight", gguf: "ffn_down.weight" },
      { name: "up_bias", shape: [size], huggingFace: "mlp.up_proj.bias", gguf: "ffn_up.bias", extra: "mlpBias" },
      { name: "down_bias", shape: [hiddenSize], huggingFace: "mlp.down_proj.bias", gguf: "ffn_down.bias", extra: "mlpBias" },
    ];
  },
};
