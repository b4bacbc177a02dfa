/** What one step over a regular expression finds: an escape, a group's beginning, a quantifier, a character. */
const PART = /\\[pPxu]\{[^}]*\}|\\.|\(\?(?:<?[=!>]|[a-z]*:|<\w+>)|[*+?]|\{\d*,?\d*\}|./gsu;

/**
 * Rewrites what Oniguruma and JavaScript mean differently and the library's translation leaves alone. Possessive quantifiers and atomic groups
 * become a lookahead and a reference to what it saw, since nothing goes back into a lookahead; letters without regard to case also match
 * the two characters beyond ASCII that fold to one of ASCII (U+017F and U+212A); no line begins behind a line end that ends the text.
 */
export function portable(source: string): string {
  const parts = partsOf(source);
  const groups: { start: number; atomic: boolean; folds: boolean }[] = [];
  let out = "";
  let atom = 0;
  let count = 0;
  const seal = (start: number): string => `${out.slice(0, start)}(?:(?=(?<kvasir${count}>${out.slice(start)}))\\k<kvasir${count++}>)`;
  parts.forEach((part, i) => {
    const folds = groups.at(-1)?.folds ?? false;
    if (part.startsWith("(")) {
      const atomic = part === "(?>";
      groups.push({ start: out.length, atomic, folds: folds || part === "(?i:" });
      out += atomic ? "" : part;
    } else if (part === ")") {
      const group = groups.pop();
      atom = group?.start ?? 0;
      out = group?.atomic ? seal(atom) : `${out})`;
    } else if (part === "+" && isPossessable(parts[i - 1])) {
      out = seal(atom);
    } else {
      if (!isQuantifier(part)) atom = out.length;
      if (part === "^") out += LINE_START;
      else out += folds ? folded(part) : part;
    }
  });
  return out;
}

const LINE_START = "(?:\\A|(?<=\\n)(?!\\z))";

/** A plus after one of these makes it possessive; after a counted repetition it repeats that. */
function isPossessable(part: string | undefined): boolean {
  return part === "*" || part === "+" || part === "?";
}

function isQuantifier(part: string): boolean {
  return /^(?:[*+?]|\{\d*,?\d*\})$/.test(part);
}

/** A class is one part, with those that are nested in it. */
function partsOf(source: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  for (const [part] of source.matchAll(PART)) {
    if (depth > 0) parts[parts.length - 1] += part;
    else parts.push(part);
    if (part === "[") depth++;
    else if (part === "]" && depth > 0) depth--;
  }
  return parts;
}

function folded(part: string): string {
  if (part === "s" || part === "S") return "[sS\u017f]";
  if (part === "k" || part === "K") return "[kK\u212a]";
  if (!part.startsWith("[")) return part;
  const letters = part.replaceAll(/\\[pPxu]\{[^}]*\}|\\./gs, "");
  const more = `${/[sS]|a-z|A-Z/.test(letters) ? "\u017f" : ""}${/[kK]|a-z|A-Z/.test(letters) ? "\u212a" : ""}`;
  return `${part.slice(0, -1)}${more}]`;
}
