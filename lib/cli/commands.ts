import { BENCH } from "./bench.ts";
import { CHAT } from "./chat/chat.ts";
import type { Commands } from "./command.ts";
import { DOCTOR } from "./doctor/doctor.ts";
import { EVAL } from "./eval.ts";
import { FIT } from "./fit.ts";
import { INSPECT } from "./inspect/inspect.ts";
import { PULL } from "./pull.ts";
import { RUN } from "./run.ts";

/** All commands, in the order of help. */
export const COMMANDS: Commands = {
  run: RUN,
  chat: CHAT,
  pull: PULL,
  bench: BENCH,
  eval: EVAL,
  doctor: DOCTOR,
  fit: FIT,
  inspect: INSPECT,
};
