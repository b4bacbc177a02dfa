// node-llama-cpp as bench/engine/case.mjs takes an engine, driven as its documentation says.
import { getLlama } from "node-llama-cpp";

export async function open(path, { threads, streams, context }) {
  const llama = await getLlama({ gpu: false, maxThreads: threads, build: "never" });
  const model = await llama.loadModel({ modelPath: path });
  // Its size is that of each sequence.
  const contexts = await model.createContext({ contextSize: context, sequences: streams });
  const free = Array.from({ length: streams }, () => contexts.getSequence());
  return {
    async generate(prompt, tokens, onToken) {
      const sequence = free.pop();
      await sequence.clearHistory();
      let count = 0;
      for await (const _ of sequence.evaluate(model.tokenize(prompt), { temperature: 0, yieldEogToken: true })) {
        onToken();
        count += 1;
        if (count === tokens) break;
      }
      free.push(sequence);
    },
    close: () => llama.dispose(),
  };
}
