import { Importer } from "../../lib/text/jinja/data.ts";
import { Meter } from "../../lib/text/jinja/meter.ts";
import type { Str } from "../../lib/text/jinja/strings.ts";
import { Template } from "../../lib/text/jinja/template.ts";

/** Wednesday, noon. */
export const NOON = new Date("2026-11-25T12:00:00Z");

/** What a template prints with variables of JSON, with origins. */
export function renderStr(source: string, variables: Record<string, unknown> = {}, units = 2_500_000): Str {
  const importer = new Importer();
  const values = new Map(Object.entries(variables).map(([name, value]) => [name, importer.value(value, name)]));
  return new Template(source).render(values, new Meter(units), () => NOON);
}

/** What it prints. */
export function render(source: string, variables?: Record<string, unknown>): string {
  return renderStr(source, variables).text;
}
