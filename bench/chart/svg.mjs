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
 * Panels in two columns: `[{ title, bars: [{ label, value }] }]`. The first bar of each is highlighted, the longest of a panel fills its width.
 * All panels have room for as many bars as the fullest.
 */
export function chart(panels) {
  const bars = Math.max(...panels.map((panel) => panel.bars.length));
  const height = PANEL.titleHeight + bars * PANEL.barPitch + PANEL.gap;
  const size = { width: 2 * PANEL.width + PANEL.gap, height: Math.ceil(panels.length / 2) * height };
  const groups = panels.map((panel, i) => {
    const place = `translate(${(i % 2) * (PANEL.width + PANEL.gap)} ${Math.floor(i / 2) * height})`;
    return `<g transform="${place}">\n${draw(panel)}\n</g>`;
  });
  const attributes = `viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img"`;
  const head = `<title>${escapeText(panels.map(describe).join(". "))}</title>\n<style>${STYLE}</style>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>\n${head}\n${groups.join("\n")}\n</svg>\n`;
}

function draw({ title, bars }) {
  const most = Math.max(...bars.map(({ value }) => value));
  const room = PANEL.width - PANEL.labels - PANEL.values;
  const lines = bars.flatMap(({ label, value }, i) => {
    const y = PANEL.titleHeight + i * PANEL.barPitch;
    const width = Math.max(1, Math.round((value / most) * room));
    const baseline = y + PANEL.barHeight - 4;
    return [
      `<text x="${PANEL.labels - 8}" y="${baseline}" text-anchor="end">${escapeText(label)}</text>`,
      `<rect class="${i === 0 ? "own" : "other"}" x="${PANEL.labels}" y="${y}" width="${width}" height="${PANEL.barHeight}" rx="2"/>`,
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
