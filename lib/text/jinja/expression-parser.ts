import type { BinaryOperator, CallArguments, Comparison, Expression } from "./ast.ts";
import { OperandParser } from "./operand-parser.ts";
import type { Tokens } from "./tokens.ts";

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
const TUPLE_ENDS = new Set([")", "}}", "%}"]);
const NO_ARGUMENTS: CallArguments = { positional: [], named: [], rest: undefined, more: undefined };

/** What a test's only argument may begin with, if it stands without parentheses: `x is divisibleby 3`. */
const ARGUMENT_STARTS = new Set(["name", "string", "integer", "float", "(", "[", "{"]);

/** Parses expressions. From the loosest operator to the tightest, each has a method. */
export class ExpressionParser {
  readonly #tokens: Tokens;
  readonly #operands: OperandParser;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
    this.#operands = new OperandParser(tokens, this);
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
      node = this.#operands.primary();
    }
    node = this.#operands.postfix(node);
    return withFilters ? this.#filtersAndTests(node) : node;
  }

  #filtersAndTests(operand: Expression): Expression {
    if (this.#tokens.skip("|")) return this.#filtersAndTests(this.filter(operand));
    if (this.#tokens.skipWord("is")) return this.#filtersAndTests(this.#test(operand));
    const { line } = this.#tokens.current;
    if (!this.#tokens.is("(")) return operand;
    return this.#filtersAndTests({ kind: "call", callee: operand, given: this.#operands.callArguments(), line });
  }

  /** A filter behind its "|"; without an operand, a filter block's first one. */
  filter(operand: Expression | undefined): Expression {
    const { line } = this.#tokens.current;
    const name = this.#dottedName();
    return { kind: "filter", name, operand, given: this.#tokens.is("(") ? this.#operands.callArguments() : NO_ARGUMENTS, line };
  }

  #test(operand: Expression): Expression {
    const { line } = this.#tokens.current;
    const negated = this.#tokens.skipWord("not");
    const name = this.#dottedName();
    const test: Expression = { kind: "test", name, operand, given: this.#testArguments(), line };
    return negated ? { kind: "not", operand: test, line } : test;
  }

  #testArguments(): CallArguments {
    if (this.#tokens.is("(")) return this.#operands.callArguments();
    if (!ARGUMENT_STARTS.has(this.#tokens.current.type) || this.#tokens.isWord("else", "or", "and")) return NO_ARGUMENTS;
    if (this.#tokens.isWord("is")) this.#tokens.fail("tests cannot be chained with is");
    return { ...NO_ARGUMENTS, positional: [this.#operands.postfix(this.#operands.primary())] };
  }

  #dottedName(): string {
    let name = this.#tokens.expect("name").value;
    while (this.#tokens.skip(".")) name += `.${this.#tokens.expect("name").value}`;
    return name;
  }
}
