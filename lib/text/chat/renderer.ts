import { Template } from "@huggingface/jinja";
import { KvasirError } from "../../errors.ts";
import { ChatMasker } from "./mask.ts";
import type { ChatInput, RenderedChat } from "./messages.ts";
import { withParsedArguments } from "./messages.ts";

/** A chat template with the texts of its model's tokens. */
export interface TemplateSource {
  source: string;
  bosText: string;
  eosText: string;
  specialTexts: string[];
}

/** Longest rendered text, in UTF-16 units. Chosen: far above what fits a context. */
const MAX_LENGTH = 1 << 24;

/** Renders one chat template; it runs in a process of its own, tests call it directly. The template is parsed at its first use. */
export class TemplateRenderer {
  readonly #source: TemplateSource;
  #template: Template | undefined;

  constructor(source: TemplateSource) {
    this.#source = source;
  }

  /** Throws TEMPLATE_FAILED with the template's own words where it refuses the messages. */
  render(input: ChatInput): RenderedChat {
    const { source, bosText, eosText, specialTexts } = this.#source;
    const { messages, tools, templateVars } = input;
    const masker = new ChatMasker(specialTexts, [source, bosText, eosText]);
    const given = masker.mask({ messages: withParsedArguments(messages), tools: tools ?? null, templateVars: templateVars ?? {} });
    const text = this.#run({
      bos_token: bosText,
      eos_token: eosText,
      add_generation_prompt: input.addGenerationPrompt ?? true,
      // Templates tell "none" from "undefined": Python passes None.
      documents: null,
      ...(given.templateVars as Record<string, unknown>),
      messages: given.messages,
      tools: given.tools,
    });
    if (text.length > MAX_LENGTH) throw failed(`the text has ${text.length} characters; expected at most ${MAX_LENGTH}`);
    return { text, masks: masker.masks };
  }

  #run(variables: Record<string, unknown>): string {
    try {
      this.#template ??= new Template(this.#source.source);
      return this.#template.render(variables);
    } catch (cause) {
      throw failed((cause as Error).message, cause);
    }
  }
}

function failed(reason: string, cause?: unknown): KvasirError {
  return new KvasirError("TEMPLATE_FAILED", `the chat template failed: ${reason}`, { cause });
}
