import { Engine } from "../../engine.ts";
import { counted, type ErrorCode, KvasirError } from "../../errors.ts";
import type { Finding } from "./finding.ts";

const TOKENS = 8;

const CURES: Partial<Record<ErrorCode, string>> = {
  OUT_OF_MEMORY: "end other programs, or raise the container's limit",
  FILE_NOT_FOUND: "the bundled model is missing: install kvasir again",
};

/** Runs the bundled model: what it takes is there, or this fails with the reason. */
export async function checkTrial(): Promise<Finding> {
  const start = performance.now();
  let engine: Engine | undefined;
  try {
    engine = await Engine.open("tales", { maxContext: 256 });
    const { usage } = await engine.generate("Once upon a time", { maxTokens: TOKENS, temperature: 0, ignoreEos: true });
    const ms = Math.round(performance.now() - start);
    const { device } = engine.stats();
    const text = `the bundled model wrote ${counted(usage.completionTokens, "token")} on ${device}, ${ms} ms with loading`;
    return { name: "trial", state: "ok", text, facts: { device, tokens: usage.completionTokens, ms } };
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error;
    const { code, message } = error;
    return {
      name: "trial",
      state: "failure",
      text: `${code} ${message}`,
      cure: CURES[code] ?? "please report it, with all of this",
      code,
      facts: {},
    };
  } finally {
    await engine?.close();
  }
}
