import { basename, join, resolve } from "node:path";
import { readJson, readJsonIfPresent } from "../files/json.ts";
import { fileSizeIfPresent } from "../files/reader.ts";
import { readSafetensorsDirectory } from "../files/safetensors.ts";
import { Config } from "./config.ts";
import { tensorNames } from "./families/family.ts";
import { familyOfModelType } from "./families/index.ts";
import { endTokensFromConfigs, generationDefaults } from "./generation.ts";
import { buildManifest } from "./manifest.ts";
import type { ModelSource } from "./spec.ts";
import { templatesOfDirectory } from "./templates.ts";

/** Opens a directory as transformers' save_pretrained writes it. */
export async function openHuggingFace(directory: string): Promise<ModelSource> {
  const path = join(directory, "config.json");
  const config = Config.of(`${path}: `, await readJson(path));
  const family = familyOfModelType(path, config.string("model_type"));
  // Before the files: weights quantized in a way that isn't read may lie under other names.
  config.refuse({ quantization_config: [] });
  const files = await readSafetensorsDirectory(directory);
  const { spec, layout } = family.fromHuggingFace({ config, hasTensor: tensorNames(files) });
  const generation = await generationConfigOf(directory);
  return {
    name: basename(resolve(directory)),
    spec,
    files: files.map(({ path, size }) => ({ path, size })),
    tensors: buildManifest(spec, layout, files),
    tokenizer: (await fileSizeIfPresent(join(directory, "tokenizer.json"))) === undefined ? undefined : { kind: "huggingface", directory },
    chatTemplates: await templatesOfDirectory(directory),
    endTokens: endTokensFromConfigs([generation, config, config.object("text_config")], spec.vocabSize),
    defaults: generation === undefined ? {} : generationDefaults(generation),
  };
}

async function generationConfigOf(directory: string): Promise<Config | undefined> {
  const path = join(directory, "generation_config.json");
  const object = await readJsonIfPresent(path);
  return object === undefined ? undefined : Config.of(`${path}: `, object);
}
