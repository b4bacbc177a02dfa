// kvasir as bench/engine/case.mjs takes an engine.
import { Engine } from "kvasir";

export async function open(model, { threads, context }) {
  const engine = await Engine.open(model, { threads, maxContext: context });
  return {
    async generate(prompt, tokens, onToken) {
      for await (const _ of engine.stream(prompt, { maxTokens: tokens, temperature: 0, ignoreEos: true })) onToken();
    },
    close: () => engine.close(),
  };
}
