import { basename, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { show, type Warn } from "../errors.ts";
import { isJsonObject, type JsonObject, type JsonValue, readJson, readJsonIfPresent } from "../files/json.ts";
import { fileSizeIfPresent } from "../files/paths.ts";
import { readSafetensorsDirectory } from "../files/safetensors.ts";
import { Config } from "./config.ts";
import { tensorNames } from "./families/family.ts";
import { familyOfModelType, textHalfOf } from "./families/index.ts";
import { FP8_METHODS, type Fp8Scheme } from "./fp8.ts";
import { generationDefaults, knownTokens, namedTokens } from "./generation.ts";
import { buildManifest } from "./manifest.ts";
import { type ModelSource, TENSOR_TYPES, type TextSource } from "./spec.ts";
import { templatesOfDirectory } from "./templates.ts";

/** Opens a directory as transformers' save_pretrained writes it. */
export async function openHuggingFace(directory: string, warn: Warn): Promise<ModelSource> {
  const path = join(directory, "config.json");
  const config = Config.of(`${path}: `, await readJson(path, warn));
  const text = textConfigOf(config);
  const family = familyOfModelType(path, text.string("model_type"));
  const fp8 = await quantizationOf(directory, config, text, warn);
  const files = await readSafetensorsDirectory(directory, warn);
  const whole = config.without(QUANTIZATION);
  const { spec, layout } = family.fromHuggingFace({ config: text.without(QUANTIZATION), whole, hasTensor: tensorNames(files) });
  const generation = await configIfPresent(directory, "generation_config.json", warn);
  const endTokens = endTokensOf(generation, config);
  return {
    ...(await textOf(directory, endTokens, warn)),
    spec,
    files: files.map(({ path, size }) => ({ path, size })),
    tensors: buildManifest(spec, layout, files, fp8),
    endTokens: knownTokens(endTokens, spec.vocabSize, `${directory}: eos_token_id`, warn),
    defaults: generation === undefined ? {} : generationDefaults(generation, warn),
  };
}

/** Throws for a directory's config.json what {@link openHuggingFace} would throw of its architecture or quantization. Weights may be absent. */
export async function checkHuggingFaceRuns(directory: string): Promise<void> {
  const path = join(directory, "config.json");
  const warn: Warn = () => {};
  const config = Config.of(`${path}: `, await readJson(path, warn));
  const text = textConfigOf(config);
  familyOfModelType(path, text.string("model_type"));
  await quantizationOf(directory, config, text, warn);
}

const QUANTIZATION = "quantization_config";

/** How a directory's weights were quantized, which the whole model says, or its text half; throws for what isn't read. */
async function quantizationOf(directory: string, config: Config, text: Config, warn: Warn): Promise<Fp8Scheme | undefined> {
  const settings = quantizationSettings(config, text);
  if (settings === undefined) return undefined;
  const read = FP8_METHODS.get(settings.value("quant_method"));
  return read === undefined ? refuseQuantized(directory, settings, warn) : read(settings);
}

/** Those of the whole model and of its half are of the same weights: where they differ, one is wrong. */
function quantizationSettings(config: Config, text: Config): Config | undefined {
  const whole = config.filledObject(QUANTIZATION);
  const half = text.filledObject(QUANTIZATION);
  if (whole !== undefined && half !== undefined && !isDeepStrictEqual(config.value(QUANTIZATION), text.value(QUANTIZATION)))
    throw text.unexpected(QUANTIZATION, `none, or that of the whole model, ${show(config.value(QUANTIZATION))}`);
  return whole ?? half ?? config.object(QUANTIZATION) ?? text.object(QUANTIZATION);
}

/** Weights that another program quantized, by the method's name; of their files, which may lie under other names, a tensor that shows it. */
async function refuseQuantized(directory: string, settings: Config, warn: Warn): Promise<never> {
  const files = await readSafetensorsDirectory(directory, warn).catch(() => []);
  const tensor = files.flatMap(({ tensors }) => tensors).find(({ type }) => !(type in TENSOR_TYPES));
  const found = tensor === undefined ? "" : `; tensor ${show(tensor.name)} is ${tensor.type}`;
  const methods = [...FP8_METHODS.keys()].join(" or ");
  throw settings.unexpected("quant_method", `${methods}, or weights in F32, F16 or BF16${found}`, "UNSUPPORTED_FORMAT");
}

/** The settings of the model that writes text: of one that sees images, those of its half. */
function textConfigOf(config: Config): Config {
  const half = textHalfOf(config.string("model_type"));
  const text = half === undefined ? undefined : config.object("text_config");
  return text?.as({ defaults: { model_type: half } }) ?? config;
}

/** Opens what such a directory says about text, with or without a model beside it. */
export async function openHuggingFaceText(directory: string, warn: Warn): Promise<TextSource> {
  const generation = await configIfPresent(directory, "generation_config.json", warn);
  const config = await configIfPresent(directory, "config.json", warn);
  return textOf(directory, endTokensOf(generation, config), warn);
}

function endTokensOf(generation: Config | undefined, config: Config | undefined): number[] {
  return namedTokens([generation, config, config?.object("text_config")], ["eos_token_id"]);
}

async function textOf(directory: string, endTokens: number[], warn: Warn): Promise<TextSource> {
  const hasTokenizer = (await fileSizeIfPresent(join(directory, "tokenizer.json"))) !== undefined;
  const config = (await readJsonIfPresent(join(directory, "tokenizer_config.json"), warn)) ?? {};
  return {
    name: basename(resolve(directory)),
    tokenizer: hasTokenizer ? { kind: "huggingface", directory, config: tokenizerSettings(config), endTokens } : undefined,
    chatTemplates: await templatesOfDirectory(directory, config, warn),
  };
}

/** What a tokenizer takes of tokenizer_config.json. The rest, added tokens for the most part, may be megabytes, which no thread needs. */
const TOKENIZER_SETTINGS = ["tokenizer_class", "add_bos_token", "add_eos_token", "bos_token", "eos_token"];

function tokenizerSettings(config: JsonObject): JsonObject {
  const keys = TOKENIZER_SETTINGS.filter((key) => Object.hasOwn(config, key));
  return Object.fromEntries(keys.map((key) => [key, contentOf(config[key]!)]));
}

/** A token's text, where it is an object; of what is no text, its kind alone, which is refused. */
function contentOf(value: JsonValue): JsonValue {
  const content = isJsonObject(value) ? (value.content ?? null) : value;
  return typeof content === "object" && content !== null ? [] : content;
}

async function configIfPresent(directory: string, name: string, warn: Warn): Promise<Config | undefined> {
  const path = join(directory, name);
  const object = await readJsonIfPresent(path, warn);
  return object === undefined ? undefined : Config.of(`${path}: `, object);
}
