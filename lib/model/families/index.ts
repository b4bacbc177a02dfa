import { KvasirError, show } from "../../errors.ts";
import { cohere2 } from "./cohere2.ts";
import { exaone4 } from "./exaone4.ts";
import type { Family } from "./family.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { glm4 } from "./glm4.ts";
import { gptNeox } from "./gpt-neox.ts";
import { gpt2 } from "./gpt2.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { ministral3 } from "./ministral3.ts";
import { mistral } from "./mistral.ts";
import { olmo2 } from "./olmo2.ts";
import { olmo3 } from "./olmo3.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { seedOss } from "./seed-oss.ts";
import { smollm3 } from "./smollm3.ts";
import { stablelm } from "./stablelm.ts";
import { starcoder2 } from "./starcoder2.ts";

/** Every architecture that kvasir runs. */
export const FAMILIES: readonly Family[] = [
  ...[llama, mistral, ministral3, qwen2, qwen3, phi3, olmo2, olmo3, smollm3, granite],
  ...[gemma2, gemma3, gpt2, gptNeox, stablelm, starcoder2, cohere2, glm4, exaone4, seedOss],
];

/** Models that see images and have the text half of a family inside: their `model_type`, and that of the half where it doesn't say. */
const WRAPPERS: ReadonlyMap<string, string> = new Map([
  ["gemma3", "gemma3_text"],
  ["mistral3", "mistral"],
  ["llava", "llama"],
  ["llava_next", "llama"],
  ["aya_vision", "cohere2"],
  ["internvl", "qwen2"],
]);

/** Names of the supported architectures: config.json's `model_type`. */
export const ARCHITECTURES: readonly string[] = FAMILIES.flatMap((family) => family.modelTypes);

/** The `model_type` of the text half within a model of this one; `undefined` for a model that is not of two halves. */
export function textHalfOf(modelType: string): string | undefined {
  return WRAPPERS.get(modelType);
}

/** The family of a config.json's `model_type`. */
export function familyOfModelType(path: string, modelType: string): Family {
  return FAMILIES.find((family) => family.modelTypes.includes(modelType)) ?? refuse(path, modelType, ARCHITECTURES);
}

/** What makes a model of a GGUF file of this `general.architecture`. */
export function ggufFamilyOf(path: string, architecture: string): NonNullable<Family["fromGguf"]> {
  const families = FAMILIES.filter((family) => family.fromGguf !== undefined);
  const names = families.map((family) => family.name);
  return families.find((family) => family.name === architecture)?.fromGguf ?? refuse(path, architecture, names);
}

function refuse(path: string, architecture: string, supported: readonly string[]): never {
  throw new KvasirError(
    "UNSUPPORTED_MODEL",
    `${path}: the architecture ${show(architecture)} is not supported; expected one of ${supported.join(", ")}`,
  );
}
