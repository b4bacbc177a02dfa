import { KvasirError, show } from "../../errors.ts";
import type { Family } from "./family.ts";
import { gemma3 } from "./gemma3.ts";
import { llama } from "./llama.ts";
import { qwen3 } from "./qwen3.ts";

/** Every architecture that kvasir runs. */
const FAMILIES: readonly Family[] = [llama, qwen3, gemma3];

/** Names of the supported architectures: config.json's `model_type`. */
export const ARCHITECTURES: readonly string[] = FAMILIES.flatMap((family) => family.modelTypes);

/** The family of a config.json's `model_type`. */
export function familyOfModelType(path: string, modelType: string): Family {
  return FAMILIES.find((family) => family.modelTypes.includes(modelType)) ?? refuse(path, modelType, ARCHITECTURES);
}

/** The family of a GGUF file's `general.architecture`. */
export function familyOfGguf(path: string, architecture: string): Family {
  const names = FAMILIES.map((family) => family.name);
  return FAMILIES.find((family) => family.name === architecture) ?? refuse(path, architecture, names);
}

function refuse(path: string, architecture: string, supported: readonly string[]): never {
  throw new KvasirError(
    "UNSUPPORTED_MODEL",
    `${path}: the architecture ${show(architecture)} is not supported; expected one of ${supported.join(", ")}`,
  );
}
