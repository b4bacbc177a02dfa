import { defineConfig } from "vitest/config";

/** The engine's end-to-end tests on the back end that behaves like a device. */
export default defineConfig({
  test: {
    include: ["test/e2e/*.test.ts", "test/e2e/full/mixes.test.ts"],
    env: { KVASIR_TEST_DEVICE: "device" },
    maxWorkers: 2,
    testTimeout: 120_000,
  },
});
