// A worker that is idle for some milliseconds, or busy without end: see test/lib/workers/worker-client.test.ts.
import { serve } from "../../dist/workers/worker-server.js";

serve((greeting) => ({ idleMs }) => {
  while (idleMs === undefined);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, idleMs);
  return { result: greeting, transfer: [] };
});
