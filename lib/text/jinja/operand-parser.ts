import type { CallArguments, Expression } from "./ast.ts";
import { MAX_DIGITS } from "./numbers.ts";
import { ofTemplate } from "./strings.ts";
import type { Tokens } from "./tokens.ts";

/** Parses what stands in brackets and parentheses. */
interface Nested {
  /** One expression. */
  expression(): Expression;
  /** One, or several with commas between. */
  tuple(withConditional: boolean, mayBeEmpty: boolean): Expression;
}

/** Parses what operators stand between: names, constants and brackets, with the attributes, subscripts and calls behind them. */
export class OperandParser {
  readonly #tokens: Tokens;
  readonly #nested: Nested;

  constructor(tokens: Tokens, nested: Nested) {
    this.#tokens = tokens;
    this.#nested = nested;
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
        return this.#integer(value, line);
      case "float":
        return { kind: "constant", value: Number(value.replaceAll("_", "")), line };
      case "(":
        return this.#closed(")", this.#nested.tuple(true, true));
      case "[":
        return { kind: "list", items: this.#items("]", () => this.#nested.expression()), line };
      case "{":
        return { kind: "dict", items: this.#items("}", () => this.#pair()), line };
      default:
        return this.#tokens.fail(`unexpected ${type === "end" ? "end of the template" : type}`, line);
    }
  }

  #integer(text: string, line: number): Expression {
    const digits = text.replaceAll("_", "");
    if (digits.length > MAX_DIGITS) this.#tokens.fail(`an integer has more than ${MAX_DIGITS} digits`, line);
    return { kind: "constant", value: BigInt(digits), line };
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
    const key = this.#nested.expression();
    this.#tokens.expect(":");
    return [key, this.#nested.expression()];
  }

  /** Attributes, subscripts and calls of an operand. */
  postfix(object: Expression): Expression {
    const { line } = this.#tokens.current;
    if (this.#tokens.skip(".")) return this.postfix(this.#member(object, line));
    if (this.#tokens.skip("[")) return this.postfix({ kind: "item", object, key: this.#subscript(line), line });
    if (this.#tokens.is("(")) return this.postfix({ kind: "call", callee: object, given: this.callArguments(), line });
    return object;
  }

  #member(object: Expression, line: number): Expression {
    const { type, value } = this.#tokens.next();
    if (type === "name") return { kind: "attribute", object, name: value, line };
    if (type !== "integer") this.#tokens.fail("expected a name or a number behind the dot", line);
    return { kind: "item", object, key: this.#integer(value, line), line };
  }

  #subscript(line: number): Expression {
    const items = this.#items("]", () => this.#indexOrSlice());
    return items.length === 1 ? items[0]! : { kind: "tuple", items, line };
  }

  #indexOrSlice(): Expression {
    const { line } = this.#tokens.current;
    const bounds: (Expression | undefined)[] = [undefined, undefined, undefined];
    for (let i = 0; i < 3; i++) {
      if (!this.#tokens.is(":") && !this.#tokens.is("]") && !this.#tokens.is(",")) bounds[i] = this.#nested.expression();
      if (i === 0 && !this.#tokens.is(":")) return bounds[0] ?? this.#tokens.unexpected();
      if (i < 2 && !this.#tokens.skip(":")) break;
    }
    return { kind: "slice", bounds, line };
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
      if (this.#tokens.skip("*")) rest = late ? this.#tokens.fail("* has to stand before **, once", line) : this.#nested.expression();
      else if (this.#tokens.skip("**")) more = more ? this.#tokens.fail("** may stand once", line) : this.#nested.expression();
      else if (this.#tokens.is("name") && this.#tokens.following.type === "=") {
        if (more !== undefined) this.#tokens.fail("an argument stands behind **", line);
        named.push([this.#keyword(), this.#nested.expression()]);
      } else {
        if (late || named.length > 0) this.#tokens.fail("a positional argument stands behind others", line);
        positional.push(this.#nested.expression());
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
