/** Options of every benchmark: the cases whose names contain a word, and whether figures are written where git sees them. */
export const OPTIONS = { only: { type: "string", default: "" }, commit: { type: "boolean", default: false } };

/** The names of cases that have `only` in them; throws if none has. */
export function chooseCases(names, only) {
  const chosen = names.filter((name) => name.includes(only));
  if (chosen.length === 0) throw new Error(`--only is ${only}; expected a part of ${names.join(", ")}`);
  return chosen;
}
