/**
 * What `given` was probably meant to be: a name that begins with it or has it for its last word, or the one that differs least, in a third of
 * its letters at most.
 */
export function nearest(given: string, names: readonly string[]): string | undefined {
  const longer = given.length >= 2 ? names.find((name) => name.startsWith(given) || name.endsWith(`-${given}`)) : undefined;
  if (longer !== undefined) return longer;
  const [best] = names.map((name) => ({ name, distance: distanceOf(given, name) })).sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : undefined;
}

/** Letters to insert, leave out or replace to make `b` of `a`; two neighbours that changed places count once (optimal string alignment). */
function distanceOf(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (same ? 0 : 1));
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, (before[j - 2] ?? Number.POSITIVE_INFINITY) + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
