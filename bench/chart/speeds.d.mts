/** The chart of what git keeps of the table of speeds in bench/results/, as SVG. */
export function drawSpeeds(): string;
