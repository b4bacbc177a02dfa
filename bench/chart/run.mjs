// The README's figures as a chart, drawn from bench/results/: npm run bench:chart. Writes bench/figures.svg.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { drawResults } from "./figures.mjs";

writeFileSync(fileURLToPath(new URL("../figures.svg", import.meta.url)), drawResults());
