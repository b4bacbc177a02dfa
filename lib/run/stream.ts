import type { Chunk } from "../api/completion.ts";
import type { Request } from "./request.ts";

/**
 * The chunks of a request, which starts with the first `next`. A slow reader gets larger chunks, not a longer queue.
 * Not a generator, whose `return` waits for a pending `next`: leaving the loop has to end the request at once.
 */
export class ChunkStream implements AsyncIterableIterator<Chunk, undefined> {
  readonly #start: () => Promise<Request>;
  #request: Promise<Request> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #done = false;

  constructor(start: () => Promise<Request>) {
    this.#start = start;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Chunk, undefined>> {
    const result = this.#last.then(() => this.#next());
    this.#last = result.catch(() => {});
    return result;
  }

  async return(): Promise<IteratorResult<Chunk, undefined>> {
    this.#done = true;
    await this.#request?.then(
      (request) => request.abandon(),
      () => {}, // the caller of `next` gets this error
    );
    return { done: true, value: undefined };
  }

  async #next(): Promise<IteratorResult<Chunk, undefined>> {
    if (this.#done) return { done: true, value: undefined };
    try {
      this.#request ??= this.#start();
      const value = await (await this.#request).next();
      if (value !== undefined) return { done: false, value };
    } catch (error) {
      this.#done = true;
      throw error;
    }
    this.#done = true;
    return { done: true, value: undefined };
  }
}
