/** A column for each engine, by the name of its package. */
export function table(figures: Record<string, Record<string, number | string>>): string;
