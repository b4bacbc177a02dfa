import { type Meter, TemplateError } from "./meter.ts";
import { equal, inLoop, iterate, lengthOf } from "./sequences.ts";
import { type ArgumentValues, NativeFunction, Thing, Tuple, typeError, Undefined, type Value } from "./values.ts";

/** What a loop's body knows of it as `loop`. */
export class Loop extends Thing {
  readonly typeName = "LoopContext";
  readonly #meter: Meter;
  readonly #depth0: number;
  readonly #recurse: ((items: Value, depth0: number) => Value) | undefined;
  #iterator: Iterator<Value, unknown, undefined>;
  #length: number | undefined;
  #index0 = -1;
  #previous: Value | undefined;
  #current: Value | undefined;
  /** What was looked at ahead of its turn; `done` at the end. */
  #peeked: Value | typeof DONE | undefined;
  #changed: Tuple | undefined;

  constructor(meter: Meter, items: Value, depth0: number, recurse?: (items: Value, depth0: number) => Value) {
    super();
    this.#meter = meter;
    this.#iterator = iterate(meter, items);
    this.#length = lengthOf(items);
    this.#depth0 = depth0;
    this.#recurse = recurse;
  }

  /** The next item; `undefined` at the end. */
  next(): Value | undefined {
    const item = this.#peek();
    if (item === DONE) return undefined;
    this.#peeked = undefined;
    this.#index0++;
    this.#previous = this.#current;
    this.#current = item;
    return item;
  }

  override readonly call = ({ positional: [items] }: ArgumentValues): Value => {
    if (this.#recurse === undefined) throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
    return this.#recurse(items ?? typeError("a recursive loop needs what it walks"), this.#depth0 + 1);
  };

  override attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return BigInt(this.#index0 + 1);
      case "index0":
        return BigInt(this.#index0);
      case "revindex":
        return BigInt(this.#count() - this.#index0);
      case "revindex0":
        return BigInt(this.#count() - this.#index0 - 1);
      case "length":
      case "__len__":
        return BigInt(this.#count());
      case "first":
        return this.#index0 === 0;
      case "last":
        return this.#peek() === DONE;
      case "depth":
        return BigInt(this.#depth0 + 1);
      case "depth0":
        return BigInt(this.#depth0);
      default:
        return this.#neighbourOrMethod(name);
    }
  }

  #neighbourOrMethod(name: string): Value | undefined {
    switch (name) {
      case "previtem":
        return this.#previous === undefined ? new Undefined(() => "there is no previous item") : this.#previous;
      case "nextitem": {
        const item = this.#peek();
        return item === DONE ? new Undefined(() => "there is no next item") : item;
      }
      case "cycle":
        return new NativeFunction(({ positional }) => this.#cycle(positional));
      case "changed":
        return new NativeFunction(({ positional }) => this.#isChanged(new Tuple(positional)));
      default:
        return undefined;
    }
  }

  #cycle(items: readonly Value[]): Value {
    const item = items[this.#index0 % items.length];
    return item === undefined ? typeError("no items for cycling given") : item;
  }

  #isChanged(values: Tuple): boolean {
    const changed = this.#changed === undefined || !equal(this.#meter, this.#changed, values);
    this.#changed = values;
    return changed;
  }

  #peek(): Value | typeof DONE {
    if (this.#peeked === undefined) {
      const { done, value } = this.#iterator.next();
      this.#peeked = done === true ? DONE : (value as Value);
    }
    return this.#peeked;
  }

  /** What has no length is walked to its end. */
  #count(): number {
    if (this.#length === undefined) {
      const ahead = this.#peeked === undefined || this.#peeked === DONE ? 0 : 1;
      const rest = [...inLoop(this.#iterator)];
      this.#iterator = rest.values();
      this.#length = this.#index0 + 1 + ahead + rest.length;
    }
    return this.#length;
  }
}

const DONE: unique symbol = Symbol("done");
