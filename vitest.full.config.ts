import { defineConfig } from "vitest/config";

/** What the core suite leaves out: one test file at a time. */
export default defineConfig({
  test: {
    include: ["test/hub/**/*.test.ts", "test/e2e/full/**/*.test.ts", "test/package/**/*.test.ts"],
    exclude: ["**/node_modules/**"],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
