import { Importer } from "../jinja/data.ts";
import { Meter } from "../jinja/meter.ts";
import { ofTemplate, rangesOf, type Str } from "../jinja/strings.ts";
import { Template } from "../jinja/template.ts";
import type { Value } from "../jinja/values.ts";
import { wellFormed } from "../tokenizer/codec.ts";
import { type Abilities, fitted, fittedTools } from "./abilities.ts";
import { cutAtFinalMessage, withMarkedFinal } from "./continuation.ts";
import type { Chat, ChatMessage, RenderedChat } from "./messages.ts";
import { type GivenChat, probe } from "./probe.ts";

/** The texts of a model's tokens that templates know as `bos_token` and `eos_token`; "" when there is none. */
export interface TemplateTokens {
  bosText: string;
  eosText: string;
}

/** What any rendering may cost: 1,500 steps, which is a millisecond or two. Published templates take a quarter of it for a short chat. */
const BASE_UNITS = 400_000;

/** What it may cost beyond that for each character that is given, and for each value. Published templates take 6 and 10,000 at most. */
const UNITS_FOR_CHARACTER = 10;
const UNITS_FOR_VALUE = 24_000;

/** What it may cost for each two values: templates look through all messages for the call that an answer belongs to. Command-A's takes 10. */
const UNITS_FOR_PAIR = 32;
/** But for each value no more than for so many others. Chosen: it was seen to do for chats of 400 tool calls. */
const MOST_OTHERS = 4_000;

/** What one probe may cost, and all together: they are a few small messages. Command-A-Reasoning's template takes 140,000 and 1,800,000. */
const PROBE_UNITS = 400_000;
const ALL_PROBES_UNITS = 4_000_000;

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
    this.#abilities = this.#probe();
  }

  /** Throws a TemplateError, or a DataError for what is no JSON. */
  render(input: Chat): RenderedChat {
    const messages = input.messages.map((message) => fitted(message, this.#abilities));
    const given = { ...input, tools: fittedTools(input.tools, this.#abilities) };
    if (input.continueFinalMessage !== true) return rendered(this.#render(given, messages));
    const { marked, final } = withMarkedFinal(messages);
    return rendered(cutAtFinalMessage(this.#render({ ...given, addGenerationPrompt: false }, marked), final));
  }

  /** What uses up a probe's fuel isn't probed further. */
  #probe(): Abilities {
    let left = ALL_PROBES_UNITS;
    return probe((input) => {
      const meter = new Meter(Math.min(left, PROBE_UNITS));
      left -= meter.left;
      try {
        return this.#run(this.#variables(input, input.messages, new Importer()), meter).text;
      } finally {
        left = meter.left > 0 ? left + meter.left : 0;
      }
    });
  }

  #render(input: GivenChat, messages: readonly ChatMessage[]): Str {
    const importer = new Importer();
    const variables = this.#variables(input, messages, importer);
    return this.#run(variables, new Meter(unitsFor(importer)));
  }

  #run(variables: ReadonlyMap<string, Value>, meter: Meter): Str {
    return this.#template.render(variables, meter, this.#now);
  }

  #variables(input: GivenChat, messages: readonly ChatMessage[], importer: Importer): Map<string, Value> {
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

function unitsFor({ characters, values }: Importer): number {
  const perValue = UNITS_FOR_VALUE + UNITS_FOR_PAIR * Math.min(values, MOST_OTHERS);
  return BASE_UNITS + UNITS_FOR_CHARACTER * characters + perValue * values;
}

function rendered(string: Str): RenderedChat {
  const ranges = rangesOf(string);
  const written: [number, number][] = [];
  for (let i = 0; i < ranges.length; i += 2) written.push([ranges[i]!, ranges[i + 1]!]);
  return { text: wellFormed(string.text), written };
}
