import { join } from "node:path";
import { counted, KvasirError, show, type Warn } from "../errors.ts";
import type { GgufFile } from "../files/gguf.ts";
import { isJsonObject, type JsonObject, readJsonIfPresent } from "../files/json.ts";
import { MAX_TEMPLATE } from "../files/limits.ts";
import { fileSizeIfPresent, namesIn } from "../files/paths.ts";
import { readText } from "../files/reader.ts";

/** The name of a template that nothing else is asked for. */
const DEFAULT = "default";

/**
 * A directory's chat templates by name: in files of their own, today; before, a setting of the tokenizer, which files replace. `config` is what
 * tokenizer_config.json holds.
 */
export async function templatesOfDirectory(directory: string, config: JsonObject, warn: Warn): Promise<Map<string, string>> {
  const templates = await templatesInFiles(directory);
  if (templates.size > 0) return templates;
  const processors = join(directory, "chat_template.json");
  const settings: [path: string, config: JsonObject | undefined][] = [
    [processors, await readJsonIfPresent(processors, warn)],
    [join(directory, "tokenizer_config.json"), config],
  ];
  for (const [path, holder] of settings) {
    const setting = holder?.chat_template ?? undefined;
    if (setting !== undefined) for (const entry of namedTemplates(path, setting)) templates.set(entry.name, entry.template);
  }
  return templates;
}

async function templatesInFiles(directory: string): Promise<Map<string, string>> {
  const templates = new Map<string, string>();
  const path = join(directory, "chat_template.jinja");
  if ((await fileSizeIfPresent(path)) !== undefined) templates.set(DEFAULT, await readText(path, MAX_TEMPLATE));
  const folder = join(directory, "additional_chat_templates");
  const names = await namesIn(folder);
  for (const name of names.filter((file) => file.endsWith(".jinja")).sort()) {
    templates.set(name.slice(0, -".jinja".length), await readText(join(folder, name), MAX_TEMPLATE));
  }
  return templates;
}

function namedTemplates(path: string, setting: unknown): { name: string; template: string }[] {
  const named = typeof setting === "string" ? [{ name: DEFAULT, template: setting }] : setting;
  if (Array.isArray(named) && named.every(isNamedTemplate)) {
    for (const { template } of named) checkLength(`${path}: chat_template`, template);
    return named;
  }
  throw new KvasirError("FILE_INVALID", `${path}: chat_template is ${show(setting)}; expected a string or a list of { name, template }`);
}

function checkLength(place: string, template: string): void {
  const { length } = template;
  if (length > MAX_TEMPLATE)
    throw new KvasirError("FILE_INVALID", `${place} has ${counted(length, "character")}; expected at most ${MAX_TEMPLATE}`);
}

function isNamedTemplate(value: unknown): value is { name: string; template: string } {
  return isJsonObject(value) && typeof value.name === "string" && typeof value.template === "string";
}

const GGUF_KEY = "tokenizer.chat_template";

/** A GGUF file's chat templates: `tokenizer.chat_template`, and `tokenizer.chat_template.NAME`. */
export function templatesOfGguf({ path, metadata }: GgufFile): Map<string, string> {
  const templates = new Map<string, string>();
  for (const [key, value] of metadata) {
    if (key !== GGUF_KEY && !key.startsWith(`${GGUF_KEY}.`)) continue;
    if (typeof value !== "string") throw new KvasirError("FILE_INVALID", `${path}: ${key} is ${show(value)}; expected a string`);
    checkLength(`${path}: ${key}`, value);
    templates.set(key === GGUF_KEY ? DEFAULT : key.slice(GGUF_KEY.length + 1), value);
  }
  return templates;
}
