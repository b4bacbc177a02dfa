// @fugood/llama.node as bench/engine/case.mjs takes an engine, driven as its documentation says: several streams by its parallel mode.
import { loadModel, toggleNativeLog } from "@fugood/llama.node";

export async function open(model, { threads, streams, context }) {
  await toggleNativeLog(false);
  const llama = await loadModel({ model, n_ctx: context * streams, n_parallel: streams, n_threads: threads, n_gpu_layers: 0 });
  if (streams > 1) await llama.parallel.enable({ n_parallel: streams, n_batch: 512 });
  return {
    async generate(prompt, tokens, onToken) {
      const request = { prompt, n_predict: tokens, temperature: 0, ignore_eos: true };
      const queued = streams > 1 ? (await llama.parallel.completion(request, onToken)).promise : llama.completion(request, onToken);
      // The first token of a single stream is not among those that it counts. It ends at <|im_end|> in spite of ignore_eos, which random weights
      // hardly ever give; and a logit_bias ends the process in its parallel mode.
      const { tokens_predicted: predicted } = await queued;
      if (predicted < tokens - 1) throw new Error(`llama.node gave ${predicted} tokens; expected ${tokens}`);
    },
    close: () => llama.release(),
  };
}
