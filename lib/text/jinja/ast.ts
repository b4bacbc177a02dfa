import type { Str } from "./strings.ts";

/** What a call is given: `f(1, *rest, a=2, **more)`. */
export interface CallArguments {
  positional: readonly Expression[];
  named: readonly [name: string, Expression][];
  rest: Expression | undefined;
  more: Expression | undefined;
}

/** Binary operators with two operands that are both evaluated. */
export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";

/** Comparisons, which chain. */
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

/** What has a value. */
export type Expression = { line: number } & (
  | { kind: "constant"; value: Str | bigint | number | boolean | null }
  | { kind: "name"; name: string }
  | { kind: "tuple" | "list"; items: readonly Expression[] }
  | { kind: "dict"; items: readonly [key: Expression, value: Expression][] }
  | { kind: "conditional"; test: Expression; value: Expression; otherwise: Expression | undefined }
  | { kind: "or" | "and"; left: Expression; right: Expression }
  | { kind: "not" | "negative" | "positive"; operand: Expression }
  | { kind: "compare"; first: Expression; rest: readonly [Comparison, Expression][] }
  | { kind: "binary"; operator: BinaryOperator; left: Expression; right: Expression }
  | { kind: "concat"; items: readonly Expression[] }
  | { kind: "attribute"; object: Expression; name: string }
  | { kind: "item"; object: Expression; key: Expression }
  | { kind: "slice"; bounds: readonly (Expression | undefined)[] }
  | { kind: "call"; callee: Expression; given: CallArguments }
  // Without an operand it is a filter block's: the block's text is the operand.
  | { kind: "filter"; name: string; operand: Expression | undefined; given: CallArguments }
  | { kind: "test"; name: string; operand: Expression; given: CallArguments }
);

/** What a value is assigned to. */
export type Target =
  | { kind: "name"; name: string }
  | { kind: "namespace"; object: string; name: string }
  | { kind: "tuple"; items: readonly Target[] };

/** A macro's parameters; those that a default belongs to come last. */
export interface Parameters {
  names: readonly string[];
  defaults: readonly Expression[];
}

/** What is executed. */
export type Statement = { line: number } & (
  | { kind: "text"; text: Str }
  | { kind: "output"; value: Expression }
  | { kind: "if"; branches: readonly { test: Expression; body: readonly Statement[] }[]; otherwise: readonly Statement[] }
  | { kind: "for"; loop: For }
  | { kind: "set"; target: Target; value: Expression }
  | { kind: "capture"; target: Target; filter: Expression | undefined; body: readonly Statement[] }
  | { kind: "macro"; macro: MacroDefinition }
  | { kind: "callBlock"; call: Expression; macro: MacroDefinition }
  | { kind: "filterBlock"; filter: Expression; body: readonly Statement[] }
  | { kind: "with"; variables: readonly [Target, Expression][]; body: readonly Statement[] }
  | { kind: "block"; name: string; scoped: boolean; body: readonly Statement[] }
  | { kind: "autoescape"; value: Expression; body: readonly Statement[] }
  | { kind: "break" | "continue" }
);

/** `{% for target in items if test recursive %}`. */
export interface For {
  target: Target;
  items: Expression;
  test: Expression | undefined;
  recursive: boolean;
  body: readonly Statement[];
  otherwise: readonly Statement[];
}

/** `{% macro name(parameters) %}`; a call block's body has no name. */
export interface MacroDefinition {
  name: string | undefined;
  parameters: Parameters;
  body: readonly Statement[];
  /** Which of `varargs`, `kwargs` and `caller` its body reads: only then may they be given. */
  catches: ReadonlySet<string>;
}
