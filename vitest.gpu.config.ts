import { defineConfig } from "vitest/config";

/** The engine's end-to-end tests and the sampler's on the first GPU: `npm run test:gpu`. */
export default defineConfig({
  test: {
    include: ["test/e2e/*.test.ts", "test/e2e/full/mixes.test.ts", "test/ops/sample*.test.ts"],
    // speculate-tales: its loads preempt at the CPU's pace, and its rates of acceptance are those of the CPU's arithmetic.
    exclude: ["test/e2e/{bad-input,junk,mutants,device,stories,speculate-tales}.test.ts"],
    env: { KVASIR_TEST_DEVICE: "cuda" },
    maxWorkers: 4,
    testTimeout: 300_000,
  },
});
