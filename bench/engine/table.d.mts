/** The table of speeds of bench:cpu's cases, in Markdown. */
export function table(cases: Record<string, { figures: object; measured: object }>): string;
