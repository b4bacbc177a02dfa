import type { Kind } from "../kinds.ts";
import { type GatedExtra, type GatedSpec, gated } from "./gated.ts";
import { type PlainExtra, type PlainSpec, plain } from "./plain.ts";

/** What a layer computes of each token by itself: one of the kinds in this folder. */
export type FeedForwardSpec = GatedSpec | PlainSpec;

/** What feed-forwards may have beyond what every model of their kind has. */
export type FeedForwardExtra = GatedExtra | PlainExtra;

/** Every kind of feed-forward. */
export const FEED_FORWARDS: Readonly<Record<FeedForwardSpec["kind"], Kind<FeedForwardSpec, FeedForwardExtra>>> = { gated, plain };
