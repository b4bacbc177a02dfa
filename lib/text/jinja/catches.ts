import type { Parameters } from "./ast.ts";

/** What a macro takes beyond its parameters, if it reads it. */
const CAUGHT = new Set(["varargs", "kwargs", "caller"]);

/** Which of them a macro's parameters and body read; a parameter of that name is none. */
export function catchesOf({ names, defaults }: Parameters, body: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  collectNames([defaults, body], found);
  for (const name of names) found.delete(name);
  return found;
}

/** Walks a tree of syntax, whatever its nodes are. */
function collectNames(node: unknown, found: Set<string>): void {
  if (Array.isArray(node)) {
    for (const element of node) collectNames(element, found);
  } else if (typeof node === "object" && node !== null) {
    const { kind, name } = node as { kind?: unknown; name?: unknown };
    if (kind === "name" && typeof name === "string" && CAUGHT.has(name)) found.add(name);
    else for (const child of Object.values(node)) collectNames(child, found);
  }
}
