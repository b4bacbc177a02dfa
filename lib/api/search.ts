/** The smallest whole number up to `most`, for which `fits` holds, that has it hold. */
export function smallestFitting(most: number, fits: (n: number) => boolean): number {
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** The largest whole number from 0 up to `most` with which something fits: with more it never does if with less it doesn't. */
export function largestFitting(most: number, fits: (n: number) => boolean): number {
  return smallestFitting(most + 1, (n) => n > most || !fits(n)) - 1;
}
