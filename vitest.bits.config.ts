import { defineConfig } from "vitest/config";

/** Fingerprints of the engine's bits, shared out among files that take equally long: `npm run test:bits`. */
export default defineConfig({
  test: {
    include: ["test/bits/**/*.test.ts"],
    maxWorkers: 2,
    // Files that write fingerprints take turns.
    fileParallelism: process.env.KVASIR_WRITE_BITS !== "1",
    testTimeout: 600_000,
  },
});
