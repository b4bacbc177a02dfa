import { type ErrorCode, emitWarning, KvasirError } from "../../errors.ts";
import { openModel, openText } from "../../model/open.ts";
import type { ModelSource, TextSource } from "../../model/spec.ts";
import { countTypes, readStored, type StoredModel, type TypeCount } from "./stored.ts";
import { describeTokenizer, type TokenizerFacts } from "./tokenizer.ts";

/** What `kvasir inspect` finds. */
export interface Inspection {
  format: string;
  files: { path: string; size: number; tensors?: StoredModel["files"][number]["tensors"] }[];
  /** Of models that kvasir runs. */
  architecture: string | undefined;
  settings: StoredModel["settings"];
  types: TypeCount[];
  tokenizer: TokenizerFacts | undefined;
  /** Chat templates by name. */
  templates: Readonly<Record<string, string>>;
  /** Why kvasir doesn't run it, or not with text. */
  problems: { code: ErrorCode; message: string }[];
}

/** Inspects the files at a path; with `tensors` lists every one. Throws where headers are broken. */
export async function inspectionOf(path: string, tensors: boolean): Promise<Inspection> {
  const stored = await readStored(path);
  const problems: Inspection["problems"] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof KvasirError)) throw error;
      const { code, message } = error;
      if (!problems.some((problem) => problem.message === message)) problems.push({ code, message });
      return undefined;
    }
  };
  const model = stored.isModel ? await attempt(() => openModel(path, emitWarning)) : undefined;
  // What its text side holds can be told of a model that isn't run, too. Whoever opened it has told of what is irregular.
  const text: TextSource | undefined = model ?? (stored.isModel ? await attempt(() => openText(path, () => {})) : undefined);
  const tokenizer = text?.tokenizer;
  return {
    format: stored.format,
    files: stored.files.map((file) => ({ path: file.path, size: file.size, ...(tensors && { tensors: file.tensors }) })),
    architecture: model?.spec.architecture,
    settings: stored.settings,
    types: countTypes(stored),
    tokenizer: tokenizer && (await attempt(() => describeTokenizer(tokenizer, endsOf(model)))),
    templates: Object.fromEntries(text?.chatTemplates ?? []),
    problems,
  };
}

function endsOf(model: ModelSource | undefined): number[] {
  return model?.endTokens ?? [];
}
