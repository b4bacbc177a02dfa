import { defineConfig } from "vitest/config";

/** The core suite: all but what compares with large packages (test/hub), fingerprints (test/bits) or the packed package (test/package), or takes minutes (test/e2e/full). */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/hub/**", "test/e2e/full/**", "test/bits/**", "test/package/**", "**/node_modules/**"],
    // Two cores, and engines that use both: more would measure each other.
    maxWorkers: 2,
    // The longest take 20 s, and the machine may have ten times as much to do.
    testTimeout: 200_000,
  },
});
