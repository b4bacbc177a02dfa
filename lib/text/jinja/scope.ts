import type { Target } from "./ast.ts";
import { type Meter, TemplateError } from "./meter.ts";
import { inLoop, iterate } from "./sequences.ts";
import { Namespace, type Value } from "./values.ts";

/** Variables of a block; what it lacks is looked up further out. */
export class Scope {
  readonly #variables: Map<string, Value>;
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope, variables: Map<string, Value> = new Map()) {
    this.#outer = outer;
    this.#variables = variables;
  }

  /** A variable's value. */
  get(name: string): Value | undefined {
    for (let scope: Scope | undefined = this; scope !== undefined; scope = scope.#outer) {
      const value = scope.#variables.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Sets a variable of this block. */
  set(name: string, value: Value): void {
    this.#variables.set(name, value);
  }

  /** Assigns to a name, a namespace's attribute, or several at once. */
  assign(meter: Meter, target: Target, value: Value): void {
    if (target.kind === "name") {
      this.set(target.name, value);
    } else if (target.kind === "namespace") {
      const namespace = this.get(target.object);
      if (!(namespace instanceof Namespace)) throw new TemplateError("cannot assign attribute on non-namespace object");
      namespace.values.set(target.name, value);
    } else {
      this.#unpack(meter, target.items, value);
    }
  }

  #unpack(meter: Meter, targets: readonly Target[], value: Value): void {
    const values: Value[] = [];
    for (const element of inLoop(iterate(meter, value))) {
      values.push(element);
      if (values.length > targets.length) throw new TemplateError(`too many values to unpack (expected ${targets.length})`);
    }
    if (values.length < targets.length) {
      throw new TemplateError(`not enough values to unpack (expected ${targets.length}, got ${values.length})`);
    }
    for (const [i, target] of targets.entries()) this.assign(meter, target, values[i]!);
  }
}
