/** Ceilings of ceilings.cc that bound an arithmetic: whatever a machine has no instructions for has none, or 0. */
const PEAKS = {
  int8: ["int8Gops", "amxInt8Gops", "fmaGops"],
  f32: ["fmaGops"],
  floats: ["bf16Gops", "amxBf16Gops", "fmaGops"],
};

/** The most operations per second, in billions, of 8-bit products, of those of float32, or of floats of 16 or 32 bits, whichever are faster. */
export function peakGops(ceilings, arithmetic) {
  return Math.max(...PEAKS[arithmetic].map((name) => ceilings[name] ?? 0));
}
