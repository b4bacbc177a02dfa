import { emitWarning, KvasirWarning } from "../errors.ts";

/** What an engine or tokenizer that was dropped leaves behind. Nothing in it may refer to the object itself, which would be there for ever. */
interface Left {
  what: string;
  close(): Promise<void>;
}

/** Lives as long as the module: a registry that is collected calls nobody. */
const registry = new FinalizationRegistry<Left>(({ what, close }) => {
  emitWarning(
    new KvasirWarning(
      "KVASIR_NOT_CLOSED",
      `${what} was dropped without close(); it was closed when it was garbage-collected, and its threads and memory stayed until then`,
    ),
  );
  close().catch(() => {}); // nobody waits for it
});

/**
 * Closes what its owner drops without `close()`, once it is collected: threads would stay until the process ends. Calls under way keep
 * their object by their frames, so that nothing is collected that somebody waits for.
 */
export function closeWhenDropped(owner: object, what: string, close: () => Promise<void>): void {
  registry.register(owner, { what, close }, owner);
}

/** The owner was closed. */
export function forgetDropped(owner: object): void {
  registry.unregister(owner);
}
