import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SHAPE, slotConfig, tinyConfig } from "./tiny.mjs";

/** An engine on the device-like back end that ends while its device has work: `device-lifetime.mjs DIRECTORY SCENARIO`. */

const root = process.env.KVASIR_PREBUILD ?? fileURLToPath(new URL("../../..", import.meta.url));
const { Engine } = createRequire(import.meta.url)(join(root, "build/Release/test/kvasir_test.node"));

const config = (directory) => tinyConfig(join(directory, "device.bin"), { device: { kind: "device", isa: "portable", threads: 1 } });

const SCENARIOS = {
  /** Slots that take a while to be set, and that no step waits for. */
  slots: async (directory) => {
    const engine = new Engine(config(directory));
    await engine.load(() => {});
    const tokens = Int32Array.from({ length: 100_000 }, (_, i) => i % SHAPE.vocab);
    for (let i = 0; i < 60; i++) engine.setSlot(i % 8, slotConfig({ tokens, repetitionPenalty: 1.1 }));
    await engine.close();
  },
  /** Loads that fail at any tensor, when those before are being packed. */
  loads: async (directory) => {
    for (let i = 0; i < 300; i++) {
      const lacking = config(directory);
      lacking.tensors.splice(i % lacking.tensors.length, 1);
      const engine = new Engine(lacking);
      const code = await engine.load(() => {}).catch((error) => error.code);
      if (code !== "FILE_INVALID") throw new Error(`without tensor ${i}, load gives ${code}`);
      await engine.close();
    }
  },
};

await SCENARIOS[process.argv[3]](process.argv[2]);
