import type { Expression, For, MacroDefinition, Statement, Target } from "./ast.ts";
import { Evaluator } from "./evaluator.ts";
import { globalsOf } from "./globals.ts";
import { escapeHtml } from "./html.ts";
import { testsOfItem } from "./idle-loop.ts";
import { Loop } from "./loop.ts";
import { bindMacro, Macro } from "./macro.ts";
import { type Meter, STEP, TemplateError } from "./meter.ts";
import { toStr } from "./print.ts";
import { Scope } from "./scope.ts";
import { inLoop, iterate, truth } from "./sequences.ts";
import { Builder, ofData, Str } from "./strings.ts";
import { Lazy, NativeFunction, Thing, Undefined, type Value } from "./values.ts";

/** What a call of a macro, or of a recursive loop, costs beyond its steps: it has variables and an output of its own. */
const FRAME = 24 * STEP;

/** What a loop's round costs beyond its item and steps: it has variables of its own. */
const ROUND = 2 * STEP;

/** How a block ended: `undefined` if it ran to its end. */
type Signal = "break" | "continue" | undefined;

/** Runs a template once. */
export class Interpreter {
  readonly #meter: Meter;
  readonly #evaluator: Evaluator;
  readonly #root: Scope;
  readonly #blocks = new Map<string, readonly Statement[]>();
  #out: Builder;
  #autoescape = false;

  constructor(meter: Meter, now: () => Date, variables: ReadonlyMap<string, Value>) {
    this.#meter = meter;
    this.#evaluator = new Evaluator(meter, now);
    this.#out = new Builder(meter);
    const globals = globalsOf(this.#evaluator).set("self", new Self((name) => this.#blockFunction(name)));
    this.#root = new Scope(new Scope(undefined, globals), new Map(variables));
  }

  /** What the template prints. */
  run(body: readonly Statement[]): Str {
    this.#executeAll(body, this.#root);
    return this.#out.done();
  }

  #executeAll(body: readonly Statement[], scope: Scope): Signal {
    for (const statement of body) {
      const signal = this.#execute(statement, scope);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  /** An error that has no line gets that of the innermost statement. */
  #execute(statement: Statement, scope: Scope): Signal {
    this.#meter.spend(STEP);
    try {
      return this.#dispatch(statement, scope);
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= statement.line;
      if (!(error instanceof RangeError)) throw error;
      // The stack is used up, or what is made exceeds what JavaScript can hold.
      this.#meter.drain();
      throw new TemplateError("it is nested too deeply or makes too large a value", statement.line);
    }
  }

  #dispatch(statement: Statement, scope: Scope): Signal {
    switch (statement.kind) {
      case "text":
        this.#out.add(statement.text);
        return undefined;
      case "output":
        return this.#print(this.#evaluator.evaluate(statement.value, scope));
      case "if":
        return this.#if(statement, scope);
      case "for":
        return this.#for(statement.loop, this.#evaluator.evaluate(statement.loop.items, scope), scope, 0);
      case "set":
        scope.assign(this.#meter, statement.target, this.#evaluator.evaluate(statement.value, scope));
        return undefined;
      case "break":
      case "continue":
        return statement.kind;
      default:
        return this.#dispatchBlock(statement, scope);
    }
  }

  #dispatchBlock(statement: Statement, scope: Scope): Signal {
    switch (statement.kind) {
      case "capture":
        return this.#set(statement, scope);
      case "macro":
        scope.set(statement.macro.name!, this.#macro(statement.macro, scope));
        return undefined;
      case "callBlock":
        if (statement.call.kind !== "call") return undefined;
        return this.#print(this.#evaluator.callWith(statement.call, scope, "caller", this.#macro(statement.macro, scope)));
      case "filterBlock":
        return this.#print(this.#evaluator.filtered(statement.filter, scope, this.#capture(statement.body, new Scope(scope))));
      case "with":
        return this.#with(statement.variables, statement.body, scope);
      case "autoescape":
        return this.#withAutoescape(statement, scope);
      case "block":
        this.#blocks.set(statement.name, statement.body);
        return this.#executeAll(statement.body, new Scope(statement.scoped ? scope : this.#root));
      default:
        throw new TemplateError(`no statement: ${statement.kind}`);
    }
  }

  #print(value: Value): undefined {
    const string = toStr(this.#meter, value);
    this.#out.add(this.#autoescape ? escapeHtml(this.#meter, string) : string);
  }

  /** What a block prints. */
  #capture(body: readonly Statement[], scope: Scope): Str {
    return this.#captured(() => this.#executeAll(body, scope));
  }

  #captured(action: () => unknown): Str {
    const outer = this.#out;
    this.#out = new Builder(this.#meter);
    action();
    const text = this.#out.done(this.#autoescape);
    this.#out = outer;
    return text;
  }

  #withAutoescape({ value, body }: Statement & { kind: "autoescape" }, scope: Scope): Signal {
    const outer = this.#autoescape;
    this.#autoescape = truth(this.#evaluator.evaluate(value, scope));
    const signal = this.#executeAll(body, new Scope(scope));
    this.#autoescape = outer;
    return signal;
  }

  #if({ branches, otherwise }: Statement & { kind: "if" }, scope: Scope): Signal {
    const branch = branches.find(({ test }) => truth(this.#evaluator.evaluate(test, scope)));
    return this.#executeAll(branch?.body ?? otherwise, scope);
  }

  #for(loop: For, items: Value, scope: Scope, depth0: number): undefined {
    if (items instanceof Str && this.#isIdle(loop, items, scope)) return;
    const recurse = (inner: Value, depth: number): Value => {
      this.#meter.spend(FRAME);
      return this.#captured(() => this.#for(loop, inner, scope, depth));
    };
    const walked = loop.test === undefined ? items : new Lazy(this.#filtered(loop.target, loop.test, items, scope));
    const state = new Loop(this.#meter, walked, depth0, loop.recursive ? recurse : undefined);
    let item = state.next();
    if (item === undefined) this.#executeAll(loop.otherwise, new Scope(scope));
    for (; item !== undefined; item = state.next()) {
      this.#meter.spend(ROUND);
      const inner = new Scope(scope);
      inner.set("loop", state);
      inner.assign(this.#meter, loop.target, item);
      if (this.#executeAll(loop.body, inner) === "break") return;
    }
  }

  /** Whether a loop over a text does nothing: none of its characters passes a test. */
  #isIdle(loop: For, { text }: Str, scope: Scope): boolean {
    const tests = testsOfItem(loop);
    if (tests === undefined || text === "") return false;
    this.#meter.spend(3 * text.length);
    const inner = new Scope(scope);
    for (const letter of new Set(text)) {
      inner.assign(this.#meter, loop.target, ofData(letter));
      if (tests.some((test) => truth(this.#evaluator.evaluate(test, inner)))) return false;
    }
    return true;
  }

  /** Items for which a loop's test holds. */
  *#filtered(target: Target, test: Expression, items: Value, scope: Scope): Generator<Value, undefined, undefined> {
    for (const item of inLoop(iterate(this.#meter, items))) {
      const inner = new Scope(scope);
      inner.assign(this.#meter, target, item);
      if (truth(this.#evaluator.evaluate(test, inner))) yield item;
    }
  }

  #set({ target, filter, body }: Statement & { kind: "capture" }, scope: Scope): undefined {
    const text = this.#capture(body, new Scope(scope));
    scope.assign(this.#meter, target, filter === undefined ? text : this.#evaluator.filtered(filter, scope, text));
  }

  #with(variables: readonly (readonly [Target, Expression])[], body: readonly Statement[], scope: Scope): Signal {
    const inner = new Scope(scope);
    for (const [target, value] of variables) inner.assign(this.#meter, target, this.#evaluator.evaluate(value, scope));
    return this.#executeAll(body, inner);
  }

  #macro(definition: MacroDefinition, scope: Scope): Macro {
    const { names, defaults } = definition.parameters;
    return new Macro(definition, (given) => {
      this.#meter.spend(FRAME);
      const bound = bindMacro(definition, given);
      const inner = new Scope(scope, bound);
      for (const [i, name] of names.entries()) {
        if (bound.has(name)) continue;
        const otherwise = defaults[i - (names.length - defaults.length)];
        const missing = (): Value => new Undefined(() => `parameter '${name}' was not provided`);
        inner.set(name, otherwise === undefined ? missing() : this.#evaluator.evaluate(otherwise, inner));
      }
      return this.#capture(definition.body, inner);
    });
  }

  #blockFunction(name: string): Value | undefined {
    const body = this.#blocks.get(name);
    return body && new NativeFunction(() => this.#capture(body, new Scope(this.#root)));
  }
}

/** `self`: the template's blocks as functions. */
class Self extends Thing {
  readonly typeName = "TemplateReference";
  readonly #block: (name: string) => Value | undefined;

  constructor(block: (name: string) => Value | undefined) {
    super();
    this.#block = block;
  }

  override attribute(name: string): Value | undefined {
    return this.#block(name);
  }
}
