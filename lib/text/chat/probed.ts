import { Importer } from "../jinja/data.ts";
import { Meter } from "../jinja/meter.ts";
import { ofTemplate, rangesOf, type Str } from "../jinja/strings.ts";
import { Template } from "../jinja/template.ts";
import type { Value } from "../jinja/values.ts";
import { wellFormed } from "../tokenizer/codec.ts";
import { type Abilities, fitted } from "./abilities.ts";
import { cutAtFinalMessage, withMarkedFinal } from "./continuation.ts";
import type { Chat, ChatMessage, RenderedChat } from "./messages.ts";
import { probe } from "./probe.ts";

/** The texts of a model's tokens that templates know as `bos_token` and `eos_token`; "" when there is none. */
export interface TemplateTokens {
  bosText: string;
  eosText: string;
}

/** What any rendering may cost: 20,000 steps, which is some milliseconds. */
const BASE_UNITS = 320_000;

/** What it may cost beyond that for each unit of what is given: templates walk over a message a few times. */
const UNITS_FOR_INPUT = 32;

/** What all probes together may cost: they are a few small messages. */
const PROBE_UNITS = 250_000;

/** One template, and what it can take. */
export class ProbedTemplate {
  readonly #template: Template;
  readonly #tokens: TemplateTokens;
  readonly #now: (() => Date) | undefined;
  readonly #abilities: Abilities;

  /** Throws a TemplateError for what is no template. */
  constructor(source: string, tokens: TemplateTokens, now: (() => Date) | undefined) {
    this.#template = new Template(source);
    this.#tokens = tokens;
    this.#now = now;
    const meter = new Meter(PROBE_UNITS);
    this.#abilities = probe((input) => this.#run(this.#variables(input, input.messages, new Importer()), meter).text);
  }

  /** Throws a TemplateError, or a DataError for what is no JSON. */
  render(input: Chat): RenderedChat {
    const messages = input.messages.map((message) => fitted(message, this.#abilities));
    if (input.continueFinalMessage !== true) return rendered(this.#render(input, messages));
    const { marked, final } = withMarkedFinal(messages);
    return rendered(cutAtFinalMessage(this.#render({ ...input, addGenerationPrompt: false }, marked), final));
  }

  #render(input: Chat, messages: readonly ChatMessage[]): Str {
    const importer = new Importer();
    const variables = this.#variables(input, messages, importer);
    return this.#run(variables, new Meter(BASE_UNITS + UNITS_FOR_INPUT * importer.size));
  }

  #run(variables: ReadonlyMap<string, Value>, meter: Meter): Str {
    return this.#template.render(variables, meter, this.#now);
  }

  #variables(input: Chat, messages: readonly ChatMessage[], importer: Importer): Map<string, Value> {
    const { bosText, eosText } = this.#tokens;
    const variables = new Map<string, Value>([
      ["bos_token", ofTemplate(bosText)],
      ["eos_token", ofTemplate(eosText)],
      ["add_generation_prompt", input.addGenerationPrompt ?? true],
      // Templates tell "none" from "undefined": Python passes None.
      ["documents", null],
    ]);
    for (const [name, value] of Object.entries(input.templateVars ?? {})) {
      if (value !== undefined) variables.set(name, importer.value(value, `templateVars.${name}`));
    }
    variables.set("messages", importer.value(messages, "messages"));
    variables.set("tools", importer.value(input.tools ?? null, "tools"));
    return variables;
  }
}

function rendered(string: Str): RenderedChat {
  const ranges = rangesOf(string);
  const written: [number, number][] = [];
  for (let i = 0; i < ranges.length; i += 2) written.push([ranges[i]!, ranges[i + 1]!]);
  return { text: wellFormed(string.text), written };
}
