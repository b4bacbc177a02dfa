import { basename } from "node:path";
import { counted, KvasirError, show, type Warn } from "../errors.ts";
import type { GgufFile } from "../files/gguf.ts";
import { readFirstPart, readGgufParts } from "../files/gguf-parts.ts";
import { readFloats } from "../files/reader.ts";
import type { StoredTensor } from "../files/tensors.ts";
import { Config, LIMITS } from "./config.ts";
import { tensorNames } from "./families/family.ts";
import { ggufFamilyOf } from "./families/index.ts";
import { knownTokens, namedTokens } from "./generation.ts";
import { buildManifest } from "./manifest.ts";
import type { RopeTensors } from "./rope-settings.ts";
import type { ModelSource, TextSource } from "./spec.ts";
import { templatesOfGguf } from "./templates.ts";

/** Opens a GGUF file, or any part of a split one: tokens and settings are the first part's. */
export async function openGguf(path: string, warn: Warn): Promise<ModelSource> {
  const files = await readGgufParts(path);
  const [file] = files;
  const general = section(file, "general.");
  const architecture = general.string("architecture");
  const fromGguf = ggufFamilyOf(path, architecture);
  const vocabSize = vocabSizeOf(files);
  const config = section(file, `${architecture}.`);
  const { spec, layout } = fromGguf({ config, vocabSize, ropeTensors: await ropeTensorsOf(files), hasTensor: tensorNames(files) });
  return {
    ...textOf(file, vocabSize, warn),
    spec,
    files: files.map(({ path, size }) => ({ path, size })),
    tensors: buildManifest(spec, layout, files),
    defaults: {},
  };
}

/** Opens what a GGUF file says about text; it need not hold more than a vocabulary. */
export async function openGgufText(path: string, warn: Warn): Promise<TextSource> {
  const file = await readFirstPart(path);
  return textOf(file, tokenCount(file) ?? 0, warn);
}

function textOf(file: GgufFile, vocabSize: number, warn: Warn): TextSource & Pick<ModelSource, "endTokens"> {
  // The tokenizer goes on without one that isn't there.
  tokensOf(file, ["bos_token_id", "unknown_token_id"], vocabSize, warn);
  const tokenizer = section(file, "tokenizer.");
  const hasTokenizer = tokenizer.string("ggml.model", "none") !== "none";
  return {
    name: basename(file.path),
    tokenizer: hasTokenizer ? { kind: "gguf", path: file.path } : undefined,
    chatTemplates: templatesOfGguf(file),
    endTokens: tokensOf(file, ["eos_token_id", "eot_token_id", "eom_token_id"], vocabSize, warn),
  };
}

function tokensOf(file: GgufFile, keys: readonly string[], vocabSize: number, warn: Warn): number[] {
  return knownTokens(namedTokens([section(file, "tokenizer.ggml.")], keys), vocabSize, `${file.path}: tokenizer.ggml`, warn);
}

/** The metadata below a prefix. Arrays that were passed over show as objects, which no setting is. */
function section(file: GgufFile, prefix: string): Config {
  return new Config(`${file.path}: ${prefix}`, (key) => file.metadata.get(prefix + key) ?? file.skipped.get(prefix + key));
}

/** Rows of the embedding; the vocabulary, where the file has one, is as large. */
function vocabSizeOf(files: readonly [GgufFile, ...GgufFile[]]): number {
  const [file] = files;
  const embedding = files.flatMap(({ tensors }) => tensors).find(({ name }) => name === "token_embd.weight");
  const size = embedding?.shape[0];
  if (embedding === undefined || size === undefined) throw invalid(file, "tensor token_embd.weight is missing");
  if (embedding.shape.length !== 2 || size > LIMITS.vocabSize)
    throw invalid(file, `tensor token_embd.weight is [${embedding.shape}]; expected [vocabulary up to ${LIMITS.vocabSize}, hidden size]`);
  const tokens = tokenCount(file);
  if (tokens !== undefined && tokens !== size)
    throw invalid(file, `it has ${counted(tokens, "token")}; expected ${size}, the rows of token_embd.weight`);
  return size;
}

function tokenCount({ skipped, metadata }: GgufFile): number | undefined {
  const short = metadata.get("tokenizer.ggml.tokens");
  return skipped.get("tokenizer.ggml.tokens")?.length ?? (Array.isArray(short) ? short.length : undefined);
}

/** What the converter keeps of llama3's and longrope's scaling of frequencies. */
async function ropeTensorsOf(files: readonly GgufFile[]): Promise<RopeTensors> {
  return {
    divisors: await divisorsAt(files, "rope_freqs.weight"),
    short: await divisorsAt(files, "rope_factors_short.weight"),
    long: await divisorsAt(files, "rope_factors_long.weight"),
  };
}

async function divisorsAt(files: readonly GgufFile[], name: string): Promise<Float32Array | undefined> {
  const isDivisors = (tensor: StoredTensor) => tensor.name === name;
  const file = files.find(({ tensors }) => tensors.some(isDivisors));
  const tensor = file?.tensors.find(isDivisors);
  if (file === undefined || tensor === undefined) return undefined;
  if (tensor.type !== "F32" || tensor.shape.length !== 1 || tensor.shape[0]! > LIMITS.headSize)
    throw invalid(file, `tensor ${name} is ${tensor.type} [${tensor.shape}]; expected F32 [head size / 2]`);
  const divisors = await readFloats(file.path, tensor.offset, tensor.shape[0]!);
  const wrong = divisors.find((divisor) => !(divisor > 0 && Number.isFinite(divisor)));
  if (wrong !== undefined) throw invalid(file, `tensor ${name} holds ${show(wrong)}; expected positive numbers`);
  return divisors;
}

function invalid(file: GgufFile, message: string): KvasirError {
  return new KvasirError("FILE_INVALID", `${file.path}: ${message}`);
}
