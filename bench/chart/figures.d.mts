/** The chart of what git keeps in bench/results/, as SVG. */
export function drawResults(): string;
