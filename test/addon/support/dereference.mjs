import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Does what no part of the engine may do: reads at an address of the device-like back end. */
const root = process.env.KVASIR_PREBUILD ?? fileURLToPath(new URL("../../..", import.meta.url));
console.log(createRequire(import.meta.url)(join(root, "build/Release/test/kvasir_test.node")).dereference());
