import { invalid } from "../../check.ts";
import { KvasirError } from "../../errors.ts";
import { DataError } from "../jinja/data.ts";
import type { TemplateError } from "../jinja/meter.ts";
import { type Chat, checkChat, type RenderedChat } from "./messages.ts";
import { ProbedTemplate, type TemplateTokens } from "./probed.ts";

/** A model's chat templates by name: `"default"`, and such as `"tool_use"`. */
export type ChatTemplates = ReadonlyMap<string, string>;

/** Renders chats by a model's own templates, which are programs: they are interpreted, and what they may cost is bounded. */
export class ChatTemplate {
  readonly #sources: ChatTemplates;
  readonly #tokens: TemplateTokens;
  readonly #now: (() => Date) | undefined;
  /** Those that were used. */
  readonly #opened = new Map<string, ProbedTemplate>();

  /** `now` is the clock that templates read. */
  constructor(sources: ChatTemplates, tokens: TemplateTokens, { now }: { now?: () => Date } = {}) {
    this.#sources = sources;
    this.#tokens = tokens;
    this.#now = now;
  }

  /** Throws INVALID_ARGUMENT for malformed messages, and TEMPLATE_FAILED when the template refuses them, fails or takes too long. */
  render(input: Chat): RenderedChat {
    checkChat(input);
    const name = this.#nameFor(input);
    try {
      let template = this.#opened.get(name);
      if (template === undefined) {
        template = new ProbedTemplate(this.#sources.get(name)!, this.#tokens, this.#now);
        this.#opened.set(name, template);
      }
      return template.render(input);
    } catch (error) {
      throw reported(error as Error);
    }
  }

  #nameFor({ template, tools }: Chat): string {
    const names = [...this.#sources.keys()];
    if (template !== undefined) {
      if (!this.#sources.has(template)) throw invalid("template", template, `one of ${names.join(", ")}`);
      return template;
    }
    if (tools !== undefined && tools !== null && this.#sources.has("tool_use")) return "tool_use";
    if (this.#sources.has("default")) return "default";
    throw new KvasirError("NO_CHAT_TEMPLATE", `the model has no default chat template; expected template to be one of ${names.join(", ")}`);
  }
}

function reported(error: Error): Error {
  if (error instanceof KvasirError) return error;
  if (error instanceof DataError) return invalid(error.path, error.value, error.message);
  const { line } = error as Partial<TemplateError>;
  const place = line === undefined ? "" : ` at line ${line}`;
  return new KvasirError("TEMPLATE_FAILED", `the chat template failed${place}: ${error.message}`, { cause: error });
}
