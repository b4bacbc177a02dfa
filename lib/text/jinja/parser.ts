import type { Expression, MacroDefinition, Parameters, Statement, Target } from "./ast.ts";
import { catchesOf } from "./catches.ts";
import { ExpressionParser } from "./expression-parser.ts";
import { ofTemplate } from "./strings.ts";
import { Tokens } from "./tokens.ts";

/** Parses a template. Throws a {@link TemplateError} that names the line. */
export function parse(template: string): Statement[] {
  const tokens = new Tokens(template);
  const body = new StatementParser(tokens).body();
  if (!tokens.is("end")) tokens.fail(`unexpected ${JSON.stringify(tokens.current.value)}`);
  return body;
}

/** Parses statements: text, what is printed, and tags. */
class StatementParser {
  readonly #tokens: Tokens;
  readonly #expressions: ExpressionParser;
  readonly #tags: ReadonlyMap<string, (line: number) => Statement>;
  /** How many loops are open. */
  #loops = 0;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
    this.#expressions = new ExpressionParser(tokens);
    this.#tags = new Map<string, (line: number) => Statement>([
      ["if", (line) => this.#if(line)],
      ["for", (line) => this.#for(line)],
      ["set", (line) => this.#set(line)],
      ["macro", (line) => this.#macro(line)],
      ["call", (line) => this.#callBlock(line)],
      ["filter", (line) => this.#filterBlock(line)],
      ["with", (line) => this.#with(line)],
      ["block", (line) => this.#block(line)],
      ["print", (line) => this.#print(line)],
      ["autoescape", (line) => this.#autoescape(line)],
      // What the model said, for training: a scope of its own.
      ["generation", (line) => ({ kind: "with", variables: [], body: this.#bodyUntil("endgeneration"), line })],
      ["break", (line) => this.#jump("break", line)],
      ["continue", (line) => this.#jump("continue", line)],
    ]);
  }

  /** Statements up to a tag that begins with one of these words, or to the end. The word isn't read, the opening of its tag is. */
  body(...ends: string[]): Statement[] {
    const body: Statement[] = [];
    while (!this.#tokens.is("end")) {
      const { type, value, line } = this.#tokens.next();
      if (type === "data") {
        body.push({ kind: "text", text: ofTemplate(value), line });
      } else if (type === "{{") {
        body.push({ kind: "output", value: this.#expressions.tuple(), line });
        this.#tokens.expect("}}");
      } else {
        if (this.#tokens.isWord(...ends)) return body;
        body.push(this.#tag());
        this.#tokens.expect("%}");
      }
    }
    if (ends.length > 0) this.#tokens.fail(`unexpected end of the template; expected ${ends.at(-1)}`);
    return body;
  }

  /** The rest of this tag, a body, and the word that ends it. */
  #bodyUntil(end: string): Statement[] {
    this.#tokens.expect("%}");
    const body = this.body(end);
    this.#tokens.next();
    return body;
  }

  #tag(): Statement {
    const { value, line } = this.#tokens.expect("name");
    const read = this.#tags.get(value);
    if (read === undefined) this.#tokens.fail(`unknown tag ${JSON.stringify(value)}`, line);
    return read(line);
  }

  #print(line: number): Statement {
    const items = [this.#expressions.expression()];
    while (this.#tokens.skip(",")) items.push(this.#expressions.expression());
    return { kind: "output", value: { kind: "concat", items, line }, line };
  }

  #jump(kind: "break" | "continue", line: number): Statement {
    if (this.#loops === 0) this.#tokens.fail(`${kind} stands outside of a loop`, line);
    return { kind, line };
  }

  #autoescape(line: number): Statement {
    const value = this.#expressions.expression();
    return { kind: "autoescape", value, body: this.#bodyUntil("endautoescape"), line };
  }

  #if(line: number): Statement {
    const branches = [];
    let otherwise: Statement[] = [];
    do {
      const test = this.#expressions.tuple(false);
      this.#tokens.expect("%}");
      branches.push({ test, body: this.body("elif", "else", "endif") });
    } while (this.#tokens.skipWord("elif"));
    if (this.#tokens.skipWord("else")) otherwise = this.#bodyUntil("endif");
    else this.#tokens.next();
    return { kind: "if", branches, otherwise, line };
  }

  #for(line: number): Statement {
    const target = this.#target();
    this.#tokens.expectWord("in");
    const items = this.#expressions.tuple(false);
    const test = this.#tokens.skipWord("if") ? this.#expressions.expression() : undefined;
    const recursive = this.#tokens.skipWord("recursive");
    this.#tokens.expect("%}");
    this.#loops++;
    const body = this.body("endfor", "else");
    this.#loops--;
    const otherwise = this.#tokens.skipWord("else") ? this.#bodyUntil("endfor") : [];
    this.#tokens.skipWord("endfor");
    return { kind: "for", loop: { target, items, test, recursive, body, otherwise }, line };
  }

  #set(line: number): Statement {
    const target = this.#target();
    if (this.#tokens.skip("=")) return { kind: "set", target, value: this.#expressions.tuple(), line };
    const filter = this.#filters();
    return { kind: "capture", target, filter, body: this.#bodyUntil("endset"), line };
  }

  /** Filters of a block, the first behind a "|" where there are any. */
  #filters(): Expression | undefined {
    let filter: Expression | undefined;
    while (this.#tokens.skip("|")) filter = this.#expressions.filter(filter);
    return filter;
  }

  #macro(line: number): Statement {
    const name = this.#tokens.expect("name").value;
    return { kind: "macro", macro: this.#macroDefinition(name, this.#parameters(), "endmacro"), line };
  }

  #callBlock(line: number): Statement {
    const parameters = this.#tokens.is("(") ? this.#parameters() : { names: [], defaults: [] };
    const call = this.#expressions.expression();
    if (call.kind !== "call") this.#tokens.fail("expected a call", call.line);
    return { kind: "callBlock", call, macro: this.#macroDefinition(undefined, parameters, "endcall"), line };
  }

  #macroDefinition(name: string | undefined, parameters: Parameters, end: string): MacroDefinition {
    const body = this.#bodyUntil(end);
    return { name, parameters, body, catches: catchesOf(parameters, body) };
  }

  #parameters(): Parameters {
    this.#tokens.expect("(");
    const names: string[] = [];
    const defaults: Expression[] = [];
    while (!this.#tokens.is(")")) {
      if (names.length > 0) this.#tokens.expect(",");
      names.push(this.#tokens.expect("name").value);
      if (this.#tokens.skip("=")) defaults.push(this.#expressions.expression());
      else if (defaults.length > 0) this.#tokens.fail("a parameter without a default stands behind one that has one");
    }
    this.#tokens.next();
    return { names, defaults };
  }

  #filterBlock(line: number): Statement {
    let filter = this.#expressions.filter(undefined);
    while (this.#tokens.skip("|")) filter = this.#expressions.filter(filter);
    return { kind: "filterBlock", filter, body: this.#bodyUntil("endfilter"), line };
  }

  #with(line: number): Statement {
    const variables: [Target, Expression][] = [];
    while (!this.#tokens.is("%}")) {
      if (variables.length > 0) this.#tokens.expect(",");
      const target = this.#singleTarget();
      this.#tokens.expect("=");
      variables.push([target, this.#expressions.expression()]);
    }
    return { kind: "with", variables, body: this.#bodyUntil("endwith"), line };
  }

  #block(line: number): Statement {
    const name = this.#tokens.expect("name").value;
    const scoped = this.#tokens.skipWord("scoped");
    this.#tokens.skipWord("required");
    const body = this.#bodyUntil("endblock");
    if (this.#tokens.isWord(name)) this.#tokens.next();
    return { kind: "block", name, scoped, body, line };
  }

  /** What is assigned to, behind a for or a set. */
  #target(): Target {
    const items: Target[] = [];
    let commas = 0;
    do {
      if (commas > 0 && (this.#tokens.isWord("in") || this.#tokens.is("=") || this.#tokens.is(")"))) break;
      items.push(this.#singleTarget());
    } while (this.#tokens.skip(",") && ++commas > 0);
    return commas === 0 ? items[0]! : { kind: "tuple", items };
  }

  #singleTarget(): Target {
    if (this.#tokens.skip("(")) {
      const target = this.#target();
      this.#tokens.expect(")");
      return target;
    }
    const { value } = this.#tokens.expect("name");
    if (this.#tokens.skip(".")) return { kind: "namespace", object: value, name: this.#tokens.expect("name").value };
    if (CONSTANTS.has(value)) this.#tokens.fail(`cannot assign to ${value}`);
    return { kind: "name", name: value };
  }
}

const CONSTANTS = new Set(["true", "True", "false", "False", "none", "None"]);
