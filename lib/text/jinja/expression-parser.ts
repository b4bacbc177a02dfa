import type { BinaryOperator, CallArguments, Comparison, Expression } from "./ast.ts";
import { ofTemplate } from "./strings.ts";
import type { Tokens } from "./tokens.ts";

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
const TUPLE_ENDS = new Set([")", "}}", "%}"]);
const NO_ARGUMENTS: CallArguments = { positional: [], named: [], rest: undefined, more: undefined };

/** What a test's only argument may begin with, if it stands without parentheses: `x is divisibleby 3`. */
const ARGUMENT_STARTS = new Set(["name", "string", "integer", "float", "(", "[", "{"]);

/** Parses expressions. From the loosest operator to the tightest, each has a method. */
export class ExpressionParser {
  readonly #tokens: Tokens;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  /** `a if b else c`. */
  expression(): Expression {
    let result = this.#or();
    for (let line = result.line; this.#tokens.skipWord("if"); line = this.#tokens.current.line) {
      const test = this.#or();
      const otherwise = this.#tokens.skipWord("else") ? this.expression() : undefined;
      result = { kind: "conditional", test, value: result, otherwise, line };
    }
    return result;
  }

  /** One expression, or several with commas between: a tuple. A for or an if takes no `a if b else c`. */
  tuple(withConditional = true, mayBeEmpty = false): Expression {
    const { line } = this.#tokens.current;
    const items: Expression[] = [];
    let commas = 0;
    while (!TUPLE_ENDS.has(this.#tokens.current.type) && !this.#tokens.isWord("recursive")) {
      items.push(withConditional ? this.expression() : this.#or());
      if (!this.#tokens.skip(",")) break;
      commas++;
    }
    if (commas === 0 && items.length === 1) return items[0]!;
    if (items.length === 0 && !mayBeEmpty) this.#tokens.unexpected();
    return { kind: "tuple", items, line };
  }

  #or(): Expression {
    let left = this.#and();
    for (let { line } = left; this.#tokens.skipWord("or"); ) left = { kind: "or", left, right: this.#and(), line };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    for (let { line } = left; this.#tokens.skipWord("and"); ) left = { kind: "and", left, right: this.#not(), line };
    return left;
  }

  #not(): Expression {
    const { line } = this.#tokens.current;
    return this.#tokens.skipWord("not") ? { kind: "not", operand: this.#not(), line } : this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: [Comparison, Expression][] = [];
    for (let operator = this.#comparisonOperator(); operator !== undefined; operator = this.#comparisonOperator()) {
      rest.push([operator, this.#sum()]);
    }
    return rest.length === 0 ? first : { kind: "compare", first, rest, line: first.line };
  }

  #comparisonOperator(): Comparison | undefined {
    const { current, following } = this.#tokens;
    if (COMPARISONS.has(current.type)) return this.#tokens.next().type as Comparison;
    if (this.#tokens.skipWord("in")) return "in";
    if (!this.#tokens.isWord("not") || following.type !== "name" || following.value !== "in") return undefined;
    this.#tokens.next();
    this.#tokens.next();
    return "not in";
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concatenation());
  }

  #concatenation(): Expression {
    const items = [this.#product()];
    while (this.#tokens.skip("~")) items.push(this.#product());
    return items.length === 1 ? items[0]! : { kind: "concat", items, line: items[0]!.line };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#power());
  }

  /** Groups to the left, other than Python's. */
  #power(): Expression {
    return this.#binary(["**"], () => this.#unary(true));
  }

  #binary(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((candidate) => this.#tokens.skip(candidate));
      if (operator === undefined) return left;
      left = { kind: "binary", operator, left, right: operand(), line: left.line };
    }
  }

  /** Filters and tests bind to all of `-a.b`, attributes and calls to `a` alone. */
  #unary(withFilters: boolean): Expression {
    const { line, type } = this.#tokens.current;
    let node: Expression;
    if (type === "-" || type === "+") {
      this.#tokens.next();
      node = { kind: type === "-" ? "negative" : "positive", operand: this.#unary(false), line };
    } else {
      node = this.primary();
    }
    node = this.#postfix(node);
    return withFilters ? this.#filtersAndTests(node) : node;
  }

  /** A name, a constant, or what stands in brackets. */
  primary(): Expression {
    const { type, value, line } = this.#tokens.next();
    switch (type) {
      case "name":
        return nameOrConstant(value, line);
      case "string":
        return { kind: "constant", value: ofTemplate(value + this.#adjacentStrings()), line };
      case "integer":
        return { kind: "constant", value: BigInt(value.replaceAll("_", "")), line };
      case "float":
        return { kind: "constant", value: Number(value.replaceAll("_", "")), line };
      case "(":
        return this.#closed(")", this.tuple(true, true));
      case "[":
        return { kind: "list", items: this.#items("]", () => this.expression()), line };
      case "{":
        return { kind: "dict", items: this.#items("}", () => this.#pair()), line };
      default:
        return this.#tokens.fail(`unexpected ${type === "end" ? "end of the template" : type}`, line);
    }
  }

  #adjacentStrings(): string {
    let text = "";
    while (this.#tokens.is("string")) text += this.#tokens.next().value;
    return text;
  }

  #closed(closing: string, node: Expression): Expression {
    this.#tokens.expect(closing);
    return node;
  }

  /** What stands between commas, up to a closing bracket. */
  #items<T>(closing: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#tokens.is(closing)) {
      items.push(item());
      if (!this.#tokens.is(closing)) this.#tokens.expect(",");
    }
    this.#tokens.next();
    return items;
  }

  #pair(): [Expression, Expression] {
    const key = this.expression();
    this.#tokens.expect(":");
    return [key, this.expression()];
  }

  #postfix(object: Expression): Expression {
    const { line } = this.#tokens.current;
    if (this.#tokens.skip(".")) return this.#postfix(this.#member(object, line));
    if (this.#tokens.skip("[")) return this.#postfix({ kind: "item", object, key: this.#subscript(line), line });
    if (this.#tokens.is("(")) return this.#postfix({ kind: "call", callee: object, given: this.callArguments(), line });
    return object;
  }

  #member(object: Expression, line: number): Expression {
    const { type, value } = this.#tokens.next();
    if (type === "name") return { kind: "attribute", object, name: value, line };
    if (type !== "integer") this.#tokens.fail("expected a name or a number behind the dot", line);
    return { kind: "item", object, key: { kind: "constant", value: BigInt(value.replaceAll("_", "")), line }, line };
  }

  #subscript(line: number): Expression {
    const items = this.#items("]", () => this.#indexOrSlice());
    return items.length === 1 ? items[0]! : { kind: "tuple", items, line };
  }

  #indexOrSlice(): Expression {
    const { line } = this.#tokens.current;
    const bounds: (Expression | undefined)[] = [undefined, undefined, undefined];
    for (let i = 0; i < 3; i++) {
      if (!this.#tokens.is(":") && !this.#tokens.is("]") && !this.#tokens.is(",")) bounds[i] = this.expression();
      if (i === 0 && !this.#tokens.is(":")) return bounds[0] ?? this.#tokens.unexpected();
      if (i < 2 && !this.#tokens.skip(":")) break;
    }
    return { kind: "slice", bounds, line };
  }

  #filtersAndTests(operand: Expression): Expression {
    if (this.#tokens.skip("|")) return this.#filtersAndTests(this.filter(operand));
    if (this.#tokens.skipWord("is")) return this.#filtersAndTests(this.#test(operand));
    const { line } = this.#tokens.current;
    if (!this.#tokens.is("(")) return operand;
    return this.#filtersAndTests({ kind: "call", callee: operand, given: this.callArguments(), line });
  }

  /** A filter behind its "|"; without an operand, a filter block's first one. */
  filter(operand: Expression | undefined): Expression {
    const { line } = this.#tokens.current;
    const name = this.#dottedName();
    return { kind: "filter", name, operand, given: this.#tokens.is("(") ? this.callArguments() : NO_ARGUMENTS, line };
  }

  #test(operand: Expression): Expression {
    const { line } = this.#tokens.current;
    const negated = this.#tokens.skipWord("not");
    const name = this.#dottedName();
    const test: Expression = { kind: "test", name, operand, given: this.#testArguments(), line };
    return negated ? { kind: "not", operand: test, line } : test;
  }

  #testArguments(): CallArguments {
    if (this.#tokens.is("(")) return this.callArguments();
    if (!ARGUMENT_STARTS.has(this.#tokens.current.type) || this.#tokens.isWord("else", "or", "and")) return NO_ARGUMENTS;
    if (this.#tokens.isWord("is")) this.#tokens.fail("tests cannot be chained with is");
    return { ...NO_ARGUMENTS, positional: [this.#postfix(this.primary())] };
  }

  #dottedName(): string {
    let name = this.#tokens.expect("name").value;
    while (this.#tokens.skip(".")) name += `.${this.#tokens.expect("name").value}`;
    return name;
  }

  /** What stands in a call's parentheses, and these. */
  callArguments(): CallArguments {
    const { line } = this.#tokens.expect("(");
    const positional: Expression[] = [];
    const named: [string, Expression][] = [];
    let rest: Expression | undefined;
    let more: Expression | undefined;
    this.#items(")", () => {
      const late = rest !== undefined || more !== undefined;
      if (this.#tokens.skip("*")) rest = late ? this.#tokens.fail("* has to stand before **, once", line) : this.expression();
      else if (this.#tokens.skip("**")) more = more ? this.#tokens.fail("** may stand once", line) : this.expression();
      else if (this.#tokens.is("name") && this.#tokens.following.type === "=") {
        if (more !== undefined) this.#tokens.fail("an argument stands behind **", line);
        named.push([this.#keyword(), this.expression()]);
      } else {
        if (late || named.length > 0) this.#tokens.fail("a positional argument stands behind others", line);
        positional.push(this.expression());
      }
    });
    return { positional, named, rest, more };
  }

  #keyword(): string {
    const { value } = this.#tokens.next();
    this.#tokens.next();
    return value;
  }
}

function nameOrConstant(name: string, line: number): Expression {
  switch (name) {
    case "true":
    case "True":
      return { kind: "constant", value: true, line };
    case "false":
    case "False":
      return { kind: "constant", value: false, line };
    case "none":
    case "None":
      return { kind: "constant", value: null, line };
    default:
      return { kind: "name", name, line };
  }
}
