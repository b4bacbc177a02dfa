import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The checkout. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** A function's name (methods with their class: `Engine.open`, `Engine::step`), and its lines from the first of its signature on. */
export interface SourceFunction {
  name: string;
  line: number;
  lines: number;
}

/** Text of a file of the checkout. */
export function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Files below a folder with one of the endings, as paths from the root, sorted. */
export function filesBelow(folder: string, ...endings: string[]): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => endings.some((ending) => path.endsWith(ending)) && !path.includes("node_modules"))
    .sort();
}

/** Functions of a TypeScript or C++ file. */
export function functionsOf(path: string): SourceFunction[] {
  return path.endsWith(".ts") ? typescriptFunctions(path) : cppFunctions(read(path));
}

/** Modules that a TypeScript file imports or exports from, type-only ones included: own files as paths from the root, others by name. */
export function importsOf(path: string): string[] {
  const { importedFiles } = ts.preProcessFile(read(path), true, true);
  return importedFiles.map(({ fileName }) => (fileName.startsWith(".") ? relative(ROOT, join(ROOT, dirname(path), fileName)) : fileName));
}

/** Names that a TypeScript file declares and exports; what it passes on from another file is not among them. */
export function exportsOf(path: string): string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  return source.statements
    .filter((node) => ts.canHaveModifiers(node) && node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
    .flatMap((node): readonly ts.NamedDeclaration[] => {
      return ts.isVariableStatement(node) ? node.declarationList.declarations : [node as ts.DeclarationStatement];
    })
    .map(({ name }) => (name as ts.Identifier).text);
}

function typescriptFunctions(path: string): SourceFunction[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
  const functions: SourceFunction[] = [];
  const lineOf = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const line = lineOf(node.getStart());
      functions.push({ name: nameOf(node), line: line + 1, lines: lineOf(node.getEnd()) - line + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return functions;
}

function nameOf(node: ts.SignatureDeclaration): string {
  const owner = ts.isClassLike(node.parent) && node.parent.name ? `${node.parent.name.text}.` : "";
  if (ts.isConstructorDeclaration(node)) return `${owner}constructor`;
  const named =
    node.name ?? (ts.isVariableDeclaration(node.parent) || ts.isPropertyDeclaration(node.parent) ? node.parent.name : undefined);
  return owner + (named?.getText() ?? "");
}

/**
 * Functions by their braces: one at the level of a namespace or class opens a function if the text before it, since the last `;` or brace
 * of that level, has parentheses and no `=` in front of them.
 */
export function cppFunctions(text: string): SourceFunction[] {
  const code = blanked(text);
  const functions: SourceFunction[] = [];
  let boundary = 0;
  for (let i = 0; i < code.length; i++) {
    const character = code[i]!;
    if (character === "{") {
      const header = code.slice(boundary, i);
      if (!isScope(header)) {
        const end = closingBrace(code, i);
        const name = cppName(header);
        if (name !== undefined) functions.push({ name, ...linesOf(code, boundary + header.search(/\S/), end) });
        i = end;
      }
      boundary = i + 1;
    } else if (character === ";" || character === "}") boundary = i + 1;
  }
  return functions;
}

/** Comments, strings, preprocessor lines and access labels as spaces, so that positions stay. */
function blanked(text: string): string {
  const noise =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*|^[ \t]*(?:public|private|protected):/gm;
  return text.replace(noise, (match) => match.replace(/[^\n]/g, " "));
}

function isScope(header: string): boolean {
  return /\bnamespace\b/.test(header) || /^[^(]*\b(class|struct|union|enum)\b[^()]*$/.test(withoutTemplates(header));
}

function withoutTemplates(header: string): string {
  return header
    .replace(/\btemplate\s*<[^<>]*(?:<[^<>]*>[^<>]*)*>/g, "")
    .replace(/__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)|\[\[\w+\]\]|\balignas\(\w+\)/g, "");
}

function cppName(header: string): string | undefined {
  const match = /^([^=(]*?)((?:[\w]+::)*(?:operator\s*[^\s\w(]+|~?\w+))\s*\(/.exec(withoutTemplates(header));
  return match?.[2];
}

function closingBrace(code: string, open: number): number {
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === "{") depth += 1;
    else if (code[i] === "}" && --depth === 0) return i;
  }
  return code.length - 1;
}

function linesOf(code: string, start: number, end: number): { line: number; lines: number } {
  const line = code.slice(0, start).split("\n").length;
  return { line, lines: code.slice(start, end).split("\n").length };
}
