/** Whether a version (20.18.1) comes before another; parts that one of them lacks are 0. Imported before Node is known to be new enough. */
export function isOlder(version: string, floor: string): boolean {
  const [own, least] = [version, floor].map((text) => text.split(".").map(Number)) as [number[], number[]];
  const length = Math.max(own.length, least.length);
  for (let i = 0; i < length; i++) {
    const difference = (own[i] || 0) - (least[i] || 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
