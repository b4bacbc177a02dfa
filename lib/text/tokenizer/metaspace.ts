import type { Component } from "./component.ts";

/** How a Metaspace writes spaces, and where it puts one that the text doesn't have: before each piece, before the text or nowhere. */
export interface Metaspace {
  replacement: string;
  scheme: "always" | "first" | "never";
}

/** The arguments of a Metaspace, which is a pre-tokenizer and a decoder; files of before 2024 say `add_prefix_space` in place of a scheme. */
export function metaspaceOf(component: Component): Metaspace {
  const replacement = component.character("replacement");
  const old = component.boolean("add_prefix_space", true);
  const scheme = component.oneOf("prepend_scheme", ["always", "first", "never"], old ? "always" : "never");
  if (!old && scheme !== "never") throw component.invalid("prepend_scheme", scheme, "never, since add_prefix_space is false");
  return { replacement, scheme };
}
