import type { Statement } from "./ast.ts";
import { Interpreter } from "./interpreter.ts";
import { type Meter, TemplateError } from "./meter.ts";
import { parse } from "./parser.ts";
import type { Str } from "./strings.ts";
import type { Value } from "./values.ts";

/** A Jinja template, as jinja2 3.1 renders it in the environment that transformers makes for chat templates. */
export class Template {
  readonly #body: readonly Statement[];

  /** Throws a {@link TemplateError} for what is no template. */
  constructor(source: string) {
    try {
      this.#body = parse(source);
    } catch (error) {
      throw error instanceof RangeError ? new TemplateError("it is nested too deeply") : error;
    }
  }

  /** What it prints, with origins; `now` is the time that it is told. Throws a {@link TemplateError}, also when nothing is left of `meter`. */
  render(variables: ReadonlyMap<string, Value>, meter: Meter, now: () => Date = () => new Date()): Str {
    return new Interpreter(meter, now, variables).run(this.#body);
  }
}
