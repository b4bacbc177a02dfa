// The GPU that figures were measured on.
import { spawnSync } from "node:child_process";

/** What the driver says of the first card; `undefined` without one. */
export function gpu() {
  const query = ["name", "driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit"];
  const { status, stdout } = spawnSync("nvidia-smi", [`--query-gpu=${query}`, "--format=csv,noheader", "--id=0"], { encoding: "utf8" });
  if (status !== 0) return undefined;
  const [name, driver, smClock, memoryClock, powerLimit] = stdout.trim().split(", ");
  return { name, driver, smClock, memoryClock, powerLimit };
}
