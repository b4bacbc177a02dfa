import type { CallArguments, Expression } from "./ast.ts";
import { getAttribute, getItem } from "./attributes.ts";
import { FILTERS } from "./filters.ts";
import { CALL, ITEM, type Meter, STEP, TemplateError } from "./meter.ts";
import { applyBinary, applyComparison, applySign } from "./operators.ts";
import { toStr } from "./print.ts";
import type { Runtime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import { checkKey, listOf, truth } from "./sequences.ts";
import { Builder, Str } from "./strings.ts";
import { TESTS } from "./tests.ts";
import { type ArgumentValues, Dict, type Key, List, Slice, Thing, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";

/** Evaluates expressions. */
export class Evaluator implements Runtime {
  readonly meter: Meter;
  readonly now: () => Date;

  constructor(meter: Meter, now: () => Date) {
    this.meter = meter;
    this.now = now;
  }

  /** An expression's value. */
  evaluate(node: Expression, scope: Scope): Value {
    this.meter.spend(STEP);
    switch (node.kind) {
      case "constant":
        return node.value;
      case "name":
        return this.#variable(node.name, scope);
      case "attribute":
        return getAttribute(this.meter, this.evaluate(node.object, scope), node.name);
      case "item":
        return getItem(this.meter, this.evaluate(node.object, scope), this.evaluate(node.key, scope));
      case "call":
        return this.#call(this.evaluate(node.callee, scope), this.#arguments(node.given, scope));
      case "filter":
        return this.filtered(node, scope);
      case "test":
        return this.test(node.name, this.evaluate(node.operand, scope), this.#arguments(node.given, scope));
      case "binary":
        return applyBinary(this.meter, node.operator, this.evaluate(node.left, scope), this.evaluate(node.right, scope));
      default:
        return this.#evaluateOther(node, scope);
    }
  }

  #variable(name: string, scope: Scope): Value {
    const value = scope.get(name);
    return value === undefined ? new Undefined(() => `'${name}' is undefined`) : value;
  }

  #evaluateOther(node: Expression, scope: Scope): Value {
    switch (node.kind) {
      case "or": {
        const left = this.evaluate(node.left, scope);
        return truth(left) ? left : this.evaluate(node.right, scope);
      }
      case "and": {
        const left = this.evaluate(node.left, scope);
        return truth(left) ? this.evaluate(node.right, scope) : left;
      }
      case "not":
        return !truth(this.evaluate(node.operand, scope));
      case "negative":
      case "positive":
        return applySign(node.kind === "negative", this.evaluate(node.operand, scope));
      case "compare":
        return this.#compare(node, scope);
      case "conditional":
        if (truth(this.evaluate(node.test, scope))) return this.evaluate(node.value, scope);
        if (node.otherwise !== undefined) return this.evaluate(node.otherwise, scope);
        return new Undefined(() => `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`);
      case "concat":
        return this.#concat(node.items.map((item) => this.evaluate(item, scope)));
      case "slice":
        return new Slice(node.bounds.map((bound) => (bound === undefined ? null : this.evaluate(bound, scope))));
      case "list":
        this.meter.spend(ITEM);
        return new List(node.items.map((item) => this.evaluate(item, scope)));
      case "tuple":
        return new Tuple(node.items.map((item) => this.evaluate(item, scope)));
      case "dict":
        return this.#dict(node.items, scope);
      default:
        throw new TemplateError(`no expression: ${node.kind}`);
    }
  }

  #compare({ first, rest }: Expression & { kind: "compare" }, scope: Scope): boolean {
    let left = this.evaluate(first, scope);
    for (const [operator, operand] of rest) {
      const right = this.evaluate(operand, scope);
      if (!applyComparison(this.meter, operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  /** `a ~ b`. */
  #concat(values: readonly Value[]): Str {
    const out = new Builder(this.meter);
    for (const value of values) out.add(toStr(this.meter, value));
    return out.done();
  }

  #dict(items: readonly (readonly [Expression, Expression])[], scope: Scope): Dict {
    const entries = new Map<Key, readonly [Value, Value]>();
    for (const [keyNode, valueNode] of items) {
      const key = this.evaluate(keyNode, scope);
      const found = checkKey(this.meter, key);
      // The first of equal keys stays, with the last one's value.
      entries.set(found, [entries.get(found)?.[0] ?? key, this.evaluate(valueNode, scope)]);
    }
    return new Dict(entries);
  }

  #arguments({ positional, named, rest, more }: CallArguments, scope: Scope): ArgumentValues {
    // They are gathered in a list and a map.
    this.meter.spend(2 * STEP);
    const values = positional.map((node) => this.evaluate(node, scope));
    const byName = new Map(named.map(([name, node]) => [name, this.evaluate(node, scope)]));
    if (rest !== undefined) values.push(...listOf(this.meter, this.evaluate(rest, scope)));
    if (more === undefined) return { positional: values, named: byName };
    const dict = this.evaluate(more, scope);
    if (!(dict instanceof Dict)) return typeError("argument after ** must be a mapping");
    for (const [key, value] of dict.entries.values()) {
      if (!(key instanceof Str)) typeError("keywords must be strings");
      if (byName.has(key.text)) typeError(`got multiple values for keyword argument '${key.text}'`);
      byName.set(key.text, value);
    }
    return { positional: values, named: byName };
  }

  #call(callee: Value, given: ArgumentValues): Value {
    if (callee instanceof Undefined) callee.fail();
    if (!(callee instanceof Thing) || callee.call === undefined) return typeError(`'${typeName(callee)}' object is not callable`);
    return callee.call(given);
  }

  /** Calls with one more argument by name: a call block. */
  callWith(node: Expression & { kind: "call" }, scope: Scope, name: string, value: Value): Value {
    const { positional, named } = this.#arguments(node.given, scope);
    return this.#call(this.evaluate(node.callee, scope), { positional, named: new Map([...named, [name, value]]) });
  }

  /** A filter's result; a filter block's first filter is given the block's text. */
  filtered(node: Expression, scope: Scope, text?: Str): Value {
    if (node.kind !== "filter") return this.evaluate(node, scope);
    const value = node.operand === undefined ? text! : this.filtered(node.operand, scope, text);
    return this.filter(node.name, value, this.#arguments(node.given, scope));
  }

  filter(name: string, value: Value, given: ArgumentValues): Value {
    const apply = FILTERS.get(name);
    if (apply === undefined) throw new TemplateError(`No filter named '${name}'.`);
    this.meter.spend(CALL);
    return apply(this, value, given);
  }

  hasFilter(name: string): boolean {
    return FILTERS.has(name);
  }

  test(name: string, value: Value, given: ArgumentValues): boolean {
    const holds = TESTS.get(name);
    if (holds === undefined) throw new TemplateError(`No test named '${name}'.`);
    this.meter.spend(CALL);
    return holds(this, value, given);
  }
}
