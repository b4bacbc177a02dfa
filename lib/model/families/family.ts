import type { StoredTensor } from "../../files/tensors.ts";
import type { Config } from "../config.ts";
import type { TensorLayout } from "../manifest.ts";
import type { RopeTensors } from "../rope-settings.ts";
import type { ModelSpec } from "../spec.ts";

/** What a family makes of a file's settings. */
export interface Blueprint {
  spec: ModelSpec;
  layout: TensorLayout;
}

/** A Hugging Face model: config.json, of a model that sees images its text half with the `whole` beside it, and what tensors there are. */
export interface HuggingFaceModel {
  config: Config;
  whole: Config;
  hasTensor: (name: string) => boolean;
}

/** A GGUF model: its metadata under the architecture's prefix, and what lies in tensors rather than there. */
export interface GgufModel {
  config: Config;
  vocabSize: number;
  ropeTensors: RopeTensors;
  hasTensor: (name: string) => boolean;
}

/** One architecture: how its settings become a spec and its tensors get their names. */
export interface Family {
  /** The spec's `architecture`, and `general.architecture` in GGUF files. */
  name: string;
  /** Values of config.json's `model_type`. */
  modelTypes: readonly string[];
  /** Names of the fields of its configuration class that are honoured, or refused at values that don't run. */
  fields: readonly string[];
  fromHuggingFace(model: HuggingFaceModel): Blueprint;
  /** Not there where no GGUF file says the name: its files say another architecture's. */
  fromGguf?: (model: GgufModel) => Blueprint;
}

/** Whether a file has the tensor: what {@link HuggingFaceModel.hasTensor} asks. */
export function tensorNames(files: readonly { tensors: readonly StoredTensor[] }[]): (name: string) => boolean {
  const names = new Set(files.flatMap((file) => file.tensors.map((tensor) => tensor.name)));
  return (name) => names.has(name);
}
