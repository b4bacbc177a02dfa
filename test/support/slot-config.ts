import { PLAIN_SLOT, type SlotConfig } from "../../lib/native/addon.ts";

/** A plain slot but for what is given. Its tokens are output unless promptLength says otherwise. */
export function slotConfig(change: Partial<SlotConfig> = {}): SlotConfig {
  return { ...PLAIN_SLOT, ...change };
}
