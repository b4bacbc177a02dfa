import type { MixerKind } from "../kinds.ts";
import { type AttentionExtra, type AttentionSpec, attention } from "./attention.ts";

/** How a layer mixes tokens: one of the kinds in this folder. */
export type MixerSpec = AttentionSpec;

/** What mixers may have beyond what every model of their kind has. */
export type MixerExtra = AttentionExtra;

/** Every kind of mixer. */
export const MIXERS: Readonly<Record<MixerSpec["kind"], MixerKind<MixerSpec, MixerExtra>>> = { attention };
