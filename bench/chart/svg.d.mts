/** Panels of bars as SVG. */
export function chart(panels: { title: string; bars: { label: string; value: number; own?: boolean }[] }[]): string;
