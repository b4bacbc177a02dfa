import type { Expression, For } from "./ast.ts";

/**
 * The tests of a loop's body that does nothing unless one of them holds, if they read no more than the loop's own variable. Templates look for
 * pictures so in what may be a list of parts or a long text: each of a text's different characters needs one look.
 */
export function testsOfItem({ target, test, body }: For): readonly Expression[] | undefined {
  const [only, ...others] = body;
  if (target.kind !== "name" || test !== undefined || others.length > 0) return undefined;
  if (only?.kind !== "if" || only.otherwise.length > 0) return undefined;
  const tests = only.branches.map((branch) => branch.test);
  return tests.every((expression) => readsOnly(target.name, expression)) ? tests : undefined;
}

function readsOnly(name: string, node: Expression): boolean {
  switch (node.kind) {
    case "constant":
      return true;
    case "name":
      return node.name === name;
    case "attribute":
      return readsOnly(name, node.object);
    case "item":
      return readsOnly(name, node.object) && readsOnly(name, node.key);
    case "not":
      return readsOnly(name, node.operand);
    case "and":
    case "or":
      return readsOnly(name, node.left) && readsOnly(name, node.right);
    case "compare":
      return [node.first, ...node.rest.map(([, operand]) => operand)].every((operand) => readsOnly(name, operand));
    default:
      return false;
  }
}
