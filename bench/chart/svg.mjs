// Bars as SVG, readable on light and dark pages.
import { threeDigits } from "../support/report.mjs";

const PANEL = { width: 420, gap: 24, titleHeight: 26, barHeight: 16, barPitch: 21, labels: 142, values: 62 };
/** Colours between, for what knows no media queries. */
const STYLE = `text { font: 12px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600 }
.own { fill: #259473 }
.other { fill: #8c959f }
@media (prefers-color-scheme: light) { text { fill: #1f2328 } }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }`;

/**
 * Panels in two columns: `[{ title, bars: [{ label, value, own }] }]`. Bars that are `own`, or where none says so the first of each panel, are
 * highlighted; the longest of a panel fills its width. A row has room for as many bars as its fuller panel.
 */
export function chart(panels) {
  const groups = [];
  let height = 0;
  for (let i = 0; i < panels.length; i += 2) {
    const row = panels.slice(i, i + 2);
    for (const [column, panel] of row.entries()) {
      groups.push(`<g transform="translate(${column * (PANEL.width + PANEL.gap)} ${height})">\n${draw(panel)}\n</g>`);
    }
    height += PANEL.titleHeight + Math.max(...row.map(({ bars }) => bars.length)) * PANEL.barPitch + PANEL.gap;
  }
  const width = 2 * PANEL.width + PANEL.gap;
  const attributes = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img"`;
  const head = `<title>${escapeText(panels.map(describe).join(". "))}</title>\n<style>${STYLE}</style>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>\n${head}\n${groups.join("\n")}\n</svg>\n`;
}

function draw({ title, bars }) {
  const most = Math.max(...bars.map(({ value }) => value));
  const room = PANEL.width - PANEL.labels - PANEL.values;
  const lines = bars.flatMap(({ label, value, own }, i) => {
    const y = PANEL.titleHeight + i * PANEL.barPitch;
    const width = Math.max(1, Math.round((value / most) * room));
    const baseline = y + PANEL.barHeight - 4;
    return [
      `<text x="${PANEL.labels - 8}" y="${baseline}" text-anchor="end">${escapeText(label)}</text>`,
      `<rect class="${(own ?? i === 0) ? "own" : "other"}" x="${PANEL.labels}" y="${y}" width="${width}" height="${PANEL.barHeight}" rx="2"/>`,
      `<text x="${PANEL.labels + width + 6}" y="${baseline}">${threeDigits(value)}</text>`,
    ];
  });
  return [`<text class="title" x="0" y="14">${escapeText(title)}</text>`, ...lines].join("\n");
}

/** For those who are read to. */
function describe({ title, bars }) {
  return `${title}: ${bars.map(({ label, value }) => `${label} ${threeDigits(value)}`).join(", ")}`;
}

const escapeText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
