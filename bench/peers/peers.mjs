// The engines that kvasir is compared with, by the names of their packages.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const { optionalDependencies: versions } = JSON.parse(readFileSync(at("package.json"), "utf8"));

/** node-llama-cpp waits for the event loop between tokens: which of case.mjs's modes is faster depends on the machine, and the better counts. */
export const PEERS = {
  "node-llama-cpp": { script: at("node-llama-cpp.mjs"), modes: ["plain", "awake"] },
  "@fugood/llama.node": { script: at("llama-node.mjs"), modes: ["plain"] },
};

/** The version that is compared with. */
export const versionOf = (name) => versions[name];

/** Whether `npm ci --prefix bench/peers` has installed it. */
export const isInstalled = (name) => existsSync(at(`node_modules/${name}`));
