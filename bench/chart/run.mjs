// Charts of what bench/results/ has: npm run bench:chart. Writes bench/figures.svg, the README's, and bench/cpu.svg.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { drawResults } from "./figures.mjs";
import { drawSpeeds } from "./speeds.mjs";

for (const [name, svg] of Object.entries({ figures: drawResults(), cpu: drawSpeeds() }))
  writeFileSync(fileURLToPath(new URL(`../${name}.svg`, import.meta.url)), svg);
