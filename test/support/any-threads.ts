import type { Machine } from "../../lib/api/device.ts";
import { parallelism } from "../../lib/api/parallelism.ts";

/** For a module whose engines run all threads that are asked for, however few processors there are: tests of how threads share work. */
export const ANY_THREADS = {
  parallelism: () => ({ ...parallelism(), allowed: 256, quota: undefined }),
} satisfies Partial<Machine>;
