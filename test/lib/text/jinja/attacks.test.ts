import { describe, expect, test } from "vitest";
import { render, renderStr } from "../../../support/jinja.ts";

/** Generous: what is bounded is the number of steps, and this machine may be busy. */
const MOST_MS = 1000;

const ATTACKS: [name: string, source: string][] = [
  ["nested loops", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"],
  ["a range of 10^9", "{% for i in range(1000000000) %}{% endfor %}"],
  ["loops that print", "{% for i in range(100000) %}{% for j in range(100000) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}"],
  ["a doubled string", "{% set n = namespace(s='ab') %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}"],
  ["a doubled string by ~", "{% set n = namespace(s='ab') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}"],
  ["a doubled string by join", "{% set n = namespace(s='ab') %}{% for i in range(100) %}{% set n.s = [n.s, n.s]|join %}{% endfor %}"],
  [
    "a doubled string by replace",
    "{% set n = namespace(s='aa') %}{% for i in range(100) %}{% set n.s = n.s|replace('a', 'aa') %}{% endfor %}",
  ],
  ["a doubled string by format", "{% set n = namespace(s='ab') %}{% for i in range(100) %}{% set n.s = '%s%s' % (n.s, n.s) %}{% endfor %}"],
  ["a doubled list", "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}"],
  ["a list of itself, printed", "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}"],
  [
    "a list of itself, compared",
    "{% set n = namespace(s=[1], t=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.s == n.t }}",
  ],
  [
    "a list of itself, as JSON",
    "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s|tojson }}",
  ],
  [
    "tuples of themselves as keys",
    "{% set n = namespace(s=(1,)) %}{% for i in range(100) %}{% set n.s = (n.s, n.s) %}{% endfor %}{{ {n.s: 1} }}",
  ],
  ["deep nesting of a value", "{% set n = namespace(s=[]) %}{% for i in range(20000) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}"],
  ["a namespace in itself", "{% set n = namespace() %}{% set n.s = n %}{{ n }}"],
  ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
  ["a macro that calls itself twice", "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"],
  ["a recursive loop", "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}"],
  ["many parentheses", `{{ ${"(".repeat(200_000)}1${")".repeat(200_000)} }}`],
  ["many blocks", "{% if 1 %}".repeat(50_000) + "{% endif %}".repeat(50_000)],
  ["many operators", `{{ 1${"+1".repeat(200_000)} }}`],
  ["many filters", `{{ 1${"|string".repeat(200_000)} }}`],
  ["parentheses within the limit of tokens", `{{ ${"(".repeat(2_900)}1${")".repeat(2_900)} }}${"{{ 1 }}".repeat(60)}`],
  ["tokens within the limit of length", "{{ a }}".repeat(18_000)],
  ["a long integer", `{{ ${"9".repeat(100_000)} }}`],
  ["a large power", "{{ 9 ** 9 ** 99 ** 99 }}"],
  ["a power of a power", "{% set n = namespace(s=3) %}{% for i in range(100) %}{% set n.s = n.s ** 3 %}{% endfor %}"],
  ["a factorial", "{% set n = namespace(s=1) %}{% for i in range(1, 100000) %}{% set n.s = n.s * i %}{% endfor %}{{ n.s }}"],
  ["a string times 10^12", "{{ 'a' * 1000000000000 }}"],
  ["a list times 10^12", "{{ [1] * 1000000000000 }}"],
  ["a width in %", "{{ '%1000000000d' % 1 }}"],
  ["a width in % by *", "{{ '%*d' % (1000000000, 1) }}"],
  ["a precision in %", "{{ '%.1000000000f' % 1.5 }}"],
  ["a width in format", "{{ '{:1000000000}'.format(1) }}"],
  ["a precision in format", "{{ '{:.1000000000f}'.format(1.5) }}"],
  ["fields in a format's specification", "{{ '{:{}}'.format(1, 1000000000) }}"],
  ["center", "{{ 'a'|center(1000000000) }}"],
  ["ljust", "{{ 'a'.ljust(1000000000) }}"],
  ["zfill", "{{ 'a'.zfill(1000000000) }}"],
  ["expandtabs", "{{ '\\t'.expandtabs(1000000000) }}"],
  ["indent", "{{ 'a\\nb'|indent(1000000000) }}"],
  ["tojson's indent", "{{ [1]|tojson(indent=1000000000) }}"],
  ["batch", "{{ [1]|batch(1000000000, 0)|list }}"],
  ["slice", "{{ [1]|slice(1000000000)|list }}"],
  ["strftime", "{{ strftime_now('%1000000000Y') }}"],
  ["lipsum", "{{ lipsum(1000000000) * 100000 }}"],
  ["sort", "{% for i in range(1000) %}{% set x = range(100000)|sort(reverse=true) %}{% endfor %}"],
  ["split into characters", "{% for i in range(1000) %}{% set x = ('a ' * 100000).split() %}{% endfor %}"],
  ["in", "{% set s = 'a' * 100000 %}{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor %}"],
  ["equal texts", "{% set a = 'ab' * 20000 %}{% set b = 'ab' * 20000 %}{% for i in range(100000) %}{% if a == b %}{% endif %}{% endfor %}"],
  ["equal ranges", "{% for i in range(100000) %}{% if range(100000) == range(100000) %}{% endif %}{% endfor %}"],
  ["equal dicts", "{% set d = dict(range(100)|batch(2)) %}{% for i in range(100000) %}{% if d == d.copy() %}{% endif %}{% endfor %}"],
  [
    "many slices of a string of many origins",
    "{% set n = namespace(s='') %}{% for i in range(20000) %}{% set n.s = n.s + 'a' + d %}{% endfor %}{% for i in range(100000) %}{% set x = n.s[i:] %}{% endfor %}",
  ],
];

describe("attacks end with an error", () => {
  test.each(ATTACKS)("%s", (_, source) => {
    const before = performance.now();
    expect(() => render(source, { d: "b" })).toThrow();
    expect(performance.now() - before).toBeLessThan(MOST_MS);
  });
});

describe("nothing of JavaScript is reached", () => {
  const NAMES = [
    "constructor",
    "__proto__",
    "prototype",
    "toString",
    "valueOf",
    "hasOwnProperty",
    "call",
    "text",
    "items_",
    "size",
    "entries",
  ];
  const OBJECTS = [
    "d",
    "l",
    "s",
    "1",
    "1.5",
    "none",
    "true",
    "d.items",
    "range",
    "namespace()",
    "loop",
    "self",
    "m",
    "(1, 2)",
    "undefined_name",
  ];

  test.each(NAMES)("%s", (name) => {
    for (const object of OBJECTS) {
      const prefix = "{% macro m() %}{% endmacro %}{% for x in [1] %}";
      for (const access of [`${object}.${name}`, `${object}['${name}']`, `${object}|attr('${name}')`]) {
        const source = `${prefix}{{ (${access}) is defined }}{% endfor %}`;
        let printed = "False";
        try {
          printed = render(source, { d: { a: 1 }, l: [1], s: "text" });
        } catch {
          // An attribute of what isn't there.
        }
        expect(printed, access).toBe("False");
      }
    }
  });

  test("keys are keys, whatever they are called", () => {
    const given = JSON.parse('{"__proto__": "a", "constructor": "b"}');
    expect(render("{{ d.__proto__ }}{{ d['constructor'] }}{{ d.toString is defined }}{{ d }}", { d: given })).toBe(
      "abFalse{'__proto__': 'a', 'constructor': 'b'}",
    );
    expect(render("{% set hasOwnProperty = 1 %}{{ hasOwnProperty }}{{ constructor is defined }}")).toBe("1False");
    expect(render("{{ x is constructor }}{{ 1 | toString }}".slice(0, 0))).toBe("");
    for (const source of ["{{ 1 is constructor }}", "{{ 1 | toString }}", "{{ range.constructor('return 1')() }}"]) {
      expect(() => render(source)).toThrow();
    }
  });
});

test("what is given pays for itself: a long chat isn't refused", () => {
  const text = "word ".repeat(200_000);
  const source = "{% for m in ms %}{{ m.content | trim }}{{ m.content.split('x')[0] }}{% endfor %}";
  expect(renderStr(source, { ms: [{ content: text }] }, 64 * text.length).text.length).toBeGreaterThan(text.length);
});
