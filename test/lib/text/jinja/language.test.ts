import { describe, expect, test } from "vitest";
import { render } from "../../../support/jinja.ts";

const D = {
  d: { b: 1, a: "é", n: null },
  l: [3, 1, 2],
  ms: [
    { r: "u", c: "x" },
    { r: "a", c: null },
    { r: "U", k: 1 },
  ],
  s: "Hello",
  big: 9007199254740991,
};

/** What jinja2 3.1 prints with the variables above, in the environment that transformers makes. */
const PRINTED: Record<string, [template: string, text: string][]> = {
  "white space": [
    ["a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"],
    ["a\n  {% if true %}  \nb{% endif %}", "a\n  \nb"],
    ["  {%+ if true %}x{% endif %}", "  x"],
    ["{% if true +%}\nx{% endif %}", "\nx"],
    ["a  {{- 1 -}}  b", "a1b"],
    ["  {{ 1 }}\n", "  1"],
    ["a\n\n", "a\n"],
    ["  {# c #}\nx", "x"],
    ["a {#- c -#} b", "ab"],
    ["{% raw %} {{ x }} {% endraw %}\ny", " {{ x }} y"],
    ["{%- raw -%} {% if %} {%- endraw -%} y", "{% if %}y"],
    ["a\r\nb\rc", "a\nb\nc"],
    ["{{ 'a\r\nb' }}", "a\nb"],
  ],
  numbers: [
    ["{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}", "3 -4 -2 3.0 0.5"],
    ["{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ -2 ** 2 }}", "1024 0.5 1.4142135623730951 4"],
    ["{{ 2 ** 100 }}", "1267650600228229401496703205376"],
    ["{{ big + 2 }} {{ big * big }}", "9007199254740993 81129638414606663681390495662081"],
    ["{{ 1 / 3 }} {{ 6 / 3 }} {{ 10 ** 20 / 3 }}", "0.3333333333333333 2.0 3.333333333333333e+19"],
    ["{{ 1e16 }} {{ 123456789012345.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ -0.0 }}", "1e+16 123456789012345.0 0.0001 1e-05 -0.0"],
    ["{{ true + 1 }} {{ true * 2.5 }} {{ -true }}", "2 2.5 -1"],
    ["{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1_0.5 }}", "31 5 15 1000 10.5"],
    ["{{ 5 | round }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 1234 | round(-2) }}", "5 2.0 4.0 2.67 1200"],
    ["{{ 2.1 | round(0, 'ceil') }} {{ 2.15 | round(1, 'floor') }}", "3.0 2.1"],
    ["{{ '0x1f' | int(0, 16) }} {{ 'z' | int(7) }} {{ '3.9' | int }} {{ 3.9 | int }} {{ '1_0' | int }}", "31 7 3 3 10"],
    ["{{ '1e3' | float }} {{ 'x' | float }} {{ none | float(1.5) }} {{ ' 2 ' | float }}", "1000.0 0.0 1.5 2.0"],
    ["{{ 1000000 | filesizeformat }} {{ 1048576 | filesizeformat(true) }} {{ 1 | filesizeformat }}", "1.0 MB 1.0 MiB 1 Byte"],
    [
      "{{ 1 == 1.0 }} {{ 1 == true }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}",
      "True True True False True True",
    ],
  ],
  strings: [
    ["{{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }}", "['a', 'b', '', 'c'] ['a', 'b,c'] ['a,b', 'c']"],
    [
      "{{ '  a b  c '.split() }} {{ ' a b c '.split(none, 1) }} {{ ' a b c '.rsplit(none, 1) }}",
      "['a', 'b', 'c'] ['a', 'b c '] [' a b', 'c']",
    ],
    ["{{ 'a\\nb\\r\\nc\\n'.splitlines() }} {{ 'a\\nb'.splitlines(true) }}", "['a', 'b', 'c'] ['a\\n', 'b']"],
    [
      "{{ 'abcabc'.partition('b') }} {{ 'abcabc'.rpartition('b') }} {{ 'a'.partition('x') }}",
      "('a', 'b', 'cabc') ('abca', 'b', 'c') ('a', '', '')",
    ],
    [
      "{{ 'abcabc'.find('b', 2) }} {{ 'abcabc'.rfind('b') }} {{ 'abc'.find('z') }} {{ 'aaa'.count('a') }} {{ 'aaa'.count('') }}",
      "4 4 -1 3 4",
    ],
    ["{{ 'abc'.replace('', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'aaa' | replace('a', 'b', 1) }}", "-a-b-c- bba baa"],
    ["{{ 'xxaxx'.lstrip('x') }} {{ 'xxaxx'.rstrip('x') }} {{ ' a '.strip() }}|", "axx xxa a|"],
    [
      "{{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3, '.') }} {{ '-5'.zfill(4) }}",
      "**ab* *abc** a.. ..a -005",
    ],
    [
      "{{ 'hello World'.title() }} {{ 'hELLO'.capitalize() }} {{ 'aBc'.swapcase() }} {{ \"they're\".title() }} {{ \"they're\" | title }}",
      "Hello World Hello AbC They'Re They're",
    ],
    ["{{ 'ß'.upper() }} {{ 'ß'.title() }} {{ 'ΑΣ'.lower() }} {{ 'ß'.casefold() }} {{ 'ǆ'.title() }}", "SS Ss ας ss ǅ"],
    [
      "{{ 'abc'.isalpha() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'Ab C'.istitle() }} {{ ' '.isspace() }} {{ ''.isalpha() }}",
      "True True False True True True False",
    ],
    ["{{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.endswith('b', 0, 2) }}", "True True True"],
    ["{{ 'a\\tb'.expandtabs(4) }} {{ 'abc'.removeprefix('ab') }} {{ 'abc'.removesuffix('') }}", "a   b c abc"],
    ["{{ '-'.join(['a', 'b']) }} {{ '-'.join('abc') }} {{ '-'.join(d) }}", "a-b a-b-c b-a-n"],
    ["{{ 'abc'.translate('abc'.maketrans('ab', 'xy', 'c')) }} {{ 'abc'.encode('utf-8') }} {{ 'é'.encode().decode() }}", "xy b'abc' é"],
    ["{{ '🙂é🙂'[1] }} {{ '🙂é🙂' | length }} {{ '🙂é🙂'[::-1] }} {{ '🙂é'.find('é') }} {{ '🙂é' | reverse }}", "é 3 🙂é🙂 1 é🙂"],
    ["{{ 'abc'[5] }}|{{ 'abc'[-1] }}|{{ 'abc'[1:] }}|{{ 'abc'[::2] }}|{{ 'abc'[-2:-1] }}|{{ 'abc'[5:] }}", "|c|bc|ac|b|"],
    ["{{ 'a' 'b' \"c\" }} {{ 'a\\x41\\u00e9\\101\\q\\'' }}", "abc aAéA\\q'"],
    ["{{ 'ab' * 2 }} {{ 2 * 'ab' }} {{ 'a' * -1 }}|", "abab abab |"],
    ["{{ 'a' in 'abc' }} {{ 'x' not in 'abc' }} {{ '' in 'abc' }}", "True True True"],
  ],
  formats: [
    ["{{ '%s %r %d %5.2f|%-5s|%05d %x %%' % ('a', 'b', 3.9, 2.345, 'c', 42, 255) }}", "a 'b' 3  2.35|c    |00042 ff %"],
    [
      "{{ '%(a)s-%(b)d' % {'a': 1, 'b': 2} }} {{ '%s' % [1, 2] }} {{ '%e %g %G' % (12345.678, 0.00001, 1e20) }}",
      "1-2 [1, 2] 1.234568e+04 1e-05 1E+20",
    ],
    ["{{ '{} {1} {a}'.format(1, 2, a=3) if false else '{0} {1} {a}'.format(1, 2, a=3) }}", "1 2 3"],
    ["{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}", "    a|b    |  c  |***d***"],
    [
      "{{ '{:,} {:_} {:+d} {:05d} {:x} {:#b} {:.2%}'.format(1234567, 1234567, 5, -42, 255, 5, 0.256) }}",
      "1,234,567 1_234_567 +5 -0042 ff 0b101 25.60%",
    ],
    ["{{ '{:.3f} {:10.2e}|{:g} {}'.format(2.0005, 12345.6789, 0.0001, 1.0) }}", "2.001   1.23e+04|0.0001 1.0"],
    ["{{ '{0[a]} {0.b} {1[0]!r} {{}}'.format({'a': 1, 'b': 2}, ['x']) }}", "1 2 'x' {}"],
    ["{{ '{:{}}|'.format('a', 4) }} {{ '{a}'.format_map({'a': 1}) }}", "a   | 1"],
    ["{{ '%s=%s' | format('a', 1) }} {{ '%(x)s' | format(x=5) }}", "a=1 5"],
  ],
  printing: [
    ["{{ [1, 1.0, 'a', none, true, {'k': (1,)}] }}", "[1, 1.0, 'a', None, True, {'k': (1,)}]"],
    ["{{ [\"it's\", 'a\"b', 'é\\n\\x00\\u200b🙂'] }}", "[\"it's\", 'a\"b', 'é\\n\\x00\\u200b🙂']"],
    [
      "{{ () }} {{ (1, 2) }} {{ {} }} {{ [] }} {{ range(3) }} {{ d.keys() }} {{ d.items() }}",
      "() (1, 2) {} [] range(0, 3) dict_keys(['b', 'a', 'n']) dict_items([('b', 1), ('a', 'é'), ('n', None)])",
    ],
    [
      "{{ d | tojson }} {{ 'é<>&\\'' | tojson }} {{ [1.0, 1e100, 1e-7] | tojson }}",
      '{"b": 1, "a": "é", "n": null} "é<>&\'" [1.0, 1e+100, 1e-07]',
    ],
    ["{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}", '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}'],
    ["{{ d | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}", '{"a":"\\u00e9","b":1,"n":null}'],
    ["{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}", '{"1": 4, "null": 3, "1.5": 5}'],
    ["{{ '<a>' | e }} {{ ('<a>' | e) ~ '<' }} {{ '<b>x</b> y' | striptags }} {{ '<' | safe | e }}", "&lt;a&gt; &lt;a&gt;< x y <"],
  ],
  undefined: [
    ["{{ x }}|{{ x is defined }}|{{ x | default('d') }}|{{ x | length }}|{{ x | list }}|{{ x ~ 'a' }}|{{ not x }}", "|False|d|0|[]|a|True"],
    ["{% for i in x %}{{ i }}{% else %}none{% endfor %}{{ x == y }}{{ x == 1 }}{{ 1 in x }}", "noneTrueFalseFalse"],
    [
      "{{ d.zz }}|{{ d['zz'] }}|{{ l[9] }}|{{ d.zz is undefined }}|{{ 'a' if false }}|{{ none | default('d') }}|{{ none | default('d', true) }}",
      "|||True||None|d",
    ],
    [
      "{{ '' | default('d') }}|{{ x | trim }}|{{ x | upper }}|{{ x | join(',') }}|{{ x | first }}|{{ l['a'] }}|{{ d.update is defined }}",
      "||||||False",
    ],
  ],
  "lists and dicts": [
    [
      "{{ [1, 2] + [3] }} {{ [1] * 2 }} {{ (1,) + (2,) }} {{ [3, 1][::-1] }} {{ l[1:] }} {{ l[-1] }} {{ l | first }} {{ l | last }}",
      "[1, 2, 3] [1, 1] (1, 2) [1, 3] [1, 2] 2 3 2",
    ],
    [
      "{{ d.b }} {{ d['a'] }} {{ d.get('zz') }} {{ d.get('n', 5) }} {{ d.get('zz', 5) }} {{ d | length }} {{ 'a' in d }} {{ 'zz' in d }}",
      "1 é None None 5 3 True False",
    ],
    [
      "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {{ d | items | list }} {{ d.values() | list }}",
      "b=1;a=é;n=None; [('b', 1), ('a', 'é'), ('n', None)] [1, 'é', None]",
    ],
    [
      "{{ l | sort }} {{ l | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }}",
      "[1, 2, 3] [3, 2, 1] ['A', 'b', 'c'] ['A', 'b']",
    ],
    [
      "{{ ms | sort(attribute='r') | map(attribute='r') | list }} {{ ms | map(attribute='k', default=0) | list }}",
      "['a', 'u', 'U'] [0, 0, 1]",
    ],
    [
      "{{ {'b': 2, 'a': 3} | dictsort }} {{ {'b': 2, 'a': 3} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}",
      "[('a', 3), ('b', 2)] [('b', 2), ('a', 3)] [('b', 1), ('a', 2)]",
    ],
    [
      "{{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ [1, 2, 3] | sum }} {{ [[1], [2]] | sum(start=[]) }} {{ ms | sum(attribute='zz', start=0) if false else 0 }}",
      "[1, 2, 'a'] 6 [1, 2] 0",
    ],
    ["{{ l | min }} {{ l | max }} {{ ['b', 'A'] | min }} {{ [] | max }}|{{ ms | max(attribute='r') }}", "1 3 A |{'r': 'u', 'c': 'x'}"],
    [
      "{{ [1, 2, 3, 4, 5] | batch(2, 0) | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3] | slice(2, 'x') | list }}",
      "[[1, 2], [3, 4], [5, 0]] [[1, 2, 3], [4, 5]] [[1, 2], [3, 'x']]",
    ],
    ["{% for k, g in ms | groupby('r') %}{{ k }}{{ g | length }};{% endfor %}{{ (ms | groupby('r'))[0].grouper }}", "a1;u2;a"],
    [
      "{{ ms | selectattr('c') | list | length }} {{ ms | rejectattr('c', 'defined') | list | length }} {{ ms | selectattr('r', 'in', ['u', 'U']) | map(attribute='r') | join }}",
      "1 1 uU",
    ],
    [
      "{{ [1, 2, 3, 4] | select('even') | list }} {{ [1, 2, 3] | reject('gt', 2) | list }} {{ [0, 1, ''] | select | list }} {{ ['a'] | map('upper') | first }}",
      "[2, 4] [1, 2] [1] A",
    ],
    [
      "{{ [[1, 2], [3, 4]] | map(attribute=1) | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ ['a b'] | map('replace', ' ', '-') | list }}",
      "[2, 4] [1] ['a-b']",
    ],
    ["{% set g = l | map('string') %}{{ g | list }}{{ g | list }}{{ 'yes' if g }}", "['3', '1', '2'][]yes"],
    [
      "{{ l | reverse | list }} {{ d | reverse | list }} {{ l | join('-') }} {{ ms | join(',', attribute='r') }}",
      "[2, 1, 3] ['n', 'a', 'b'] 3-1-2 u,a,U",
    ],
    [
      "{{ [1, 2].index(2) }} {{ [1, 1].count(1) }} {{ (1, 2).index(2) }} {{ dict(a=1, **{'b': 2}) }} {{ dict([('x', 1)], y=2) }}",
      "1 2 1 {'a': 1, 'b': 2} {'x': 1, 'y': 2}",
    ],
    ["{{ {'a': 1, 'a': 2} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {(1, 2): 3}[1, 2] }}", "{'a': 2} {1: 'c'} 3"],
    [
      "{{ [1, [2, {'a': 1}]] == [1.0, [2, {'a': true}]] }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }} {{ 1 in [1.0] }}",
      "True False True True",
    ],
  ],
  statements: [
    [
      "{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
      "1032TrueFalse3;2121FalseFalse3;3210FalseTrue3;",
    ],
    ["{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}<{{ loop.nextitem }};{% endfor %}", "<1<2;1<2<3;2<3<;"],
    ["{% for c in 'aXbX' %}{% if c == 'X' %}{{ loop.index }}{% endif %}{% else %}none{% endfor %}", "24"],
    ["{% for c in 'ab' %}{% if c.type == 'X' %}{{ loop.index }}{% endif %}{% else %}none{% endfor %};", ";"],
    ["{% for c in '' %}{% if c == 'X' %}{{ loop.index }}{% endif %}{% else %}none{% endfor %}", "none"],
    ["{{ ('a<'|e)|list }}{{ ('ab'|e)|first is escaped }}", "['a', '&', 'l', 't', ';']False"],
    ["{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}{{ '.' if loop.last else ',' }}{% endfor %}", "1:3,2:2."],
    ["{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{{ loop.depth }};{% endfor %}", "Truea1;Falseb1;Truea1;"],
    [
      "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}",
      "123bana.b.",
    ],
    [
      "{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
      "1@1(2@2(3@3))",
    ],
    ["{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "013"],
    ["{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}", "213"],
    [
      "{% set ns = namespace(n=0, **{'m': 1}) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns.m }}{{ ns['n'] }}",
      "616",
    ],
    [
      "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set x %}<{{ a }}>{% endset %}{{ x }}{% set y | upper %}q{% endset %}{{ y }}",
      "12(1, 2)<1>Q",
    ],
    [
      "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }} {{ m(1, c=5) }} {{ m(1, 2, 3, 4, z=6) }}",
      "12x(){} 125(){} 123(4,){'z': 6}",
    ],
    ["{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}", "11m('a', 'b')False"],
    ["{% macro m() %}[{{ caller(1, b=2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}{{ m is callable }}", "[12]True"],
    [
      "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}{% macro g() %}{{ late }}{% endmacro %}{% set late = 5 %}{{ g() }}",
      "32105",
    ],
    [
      "{% filter upper | replace('B', 'x') %}ab{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
      "Ax3False",
    ],
    [
      "{% block b %}x{% endblock b %}{{ self.b() }}{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}{% print 1, 2 %}",
      "xx1False12",
    ],
    [
      "{% if x %}a{% elif l %}b{% else %}c{% endif %}{{ 'a' if x else 'b' if l else 'c' }}{{ x or 'y' }}{{ 0 or [] or 'z' }}{{ 1 and '' and 2 }}",
      "bbyz",
    ],
    [
      "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}x{{ j() }}",
      "abab" + "x|",
    ],
    [
      "{{ range(5, 0, -2) | list }}{{ range(3)[-1] }}{{ range(10)[2:8:3] }}{{ range(0) | list }}{{ 3 in range(5) }}",
      "[5, 3, 1]2range(2, 8, 3)[]True",
    ],
  ],
  tests: [
    [
      "{{ 1 is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ true is integer }}{{ 'a' is string }}{{ none is none }}{{ d is mapping }}",
      "TrueTrueTrueFalseTrueTrueTrue",
    ],
    [
      "{{ 3 is odd }}{{ 4 is even }}{{ 9 is divisibleby(3) }}{{ 9 is divisibleby 2 }}{{ 1 is not none }}{{ 'a' is lower }}{{ 'A' is upper }}",
      "TrueTrueTrueFalseTrueTrueTrue",
    ],
    [
      "{{ l is sequence }}{{ d is sequence }}{{ 'a' is sequence }}{{ 1 is iterable }}{{ (l | map('string')) is sequence }}{{ (l | map('string')) is iterable }}",
      "TrueTrueTrueFalseFalseTrue",
    ],
    [
      "{{ 1 is eq 1 }}{{ 1 is ne 1 }}{{ 1 is lt 2 }}{{ 1 is ge 2 }}{{ 1 is in [1] }}{{ 1 is sameas 1 }}{{ 1 is sameas true }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ 'x' is filter }}",
      "TrueFalseTrueFalseTrueTrueFalseTrueTrueFalse",
    ],
    [
      "{{ 1 is defined and x is not defined }}{{ range is callable }}{{ 'a' is escaped }}{{ ('a' | e) is escaped }}{{ true is true }}{{ 1 is true }}",
      "TrueTrueFalseTrueTrueFalse",
    ],
  ],
  "other filters": [
    [
      "{{ 'a\\nb\\n\\nc' | indent(2) }}|{{ 'a\\nb' | indent('>', true) }}|{{ 'a\\n\\nb' | indent(1, false, true) }}",
      "a\n  b\n\n  c|>a\n>b|a\n \n b",
    ],
    [
      "{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, true) }}|{{ 'foo bar baz' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(11, false, '…', 0) }}",
      "foo...|foo ba...|foo bar baz|foo bar…",
    ],
    [
      "{{ 'a bb ccc dddd' | wordwrap(5) }}|{{ 'abcdefgh' | wordwrap(3) }}|{{ 'well-known fact' | wordwrap(6) }}|{{ 'abcdef g' | wordwrap(3, false) }}",
      "a bb\nccc\ndddd|abc\ndef\ngh|well-\nknown\nfact|abcdef\ng",
    ],
    [
      "{{ 'a b/c?é' | urlencode }} {{ {'a b': 'c/d', 'e': 1} | urlencode }} {{ {'a': 'x\"', 'b': none, 'c': 1} | xmlattr }}",
      'a%20b/c%3F%C3%A9 a+b=c%2Fd&e=1  a="x&#34;" c="1"',
    ],
    [
      "{{ 'a b-c' | wordcount }} {{ 'ab' | center(6) }}| {{ -3 | abs }} {{ 'abc' | list }} {{ {'a': 1} | attr('a') }}| {{ s | attr('upper') is defined }}",
      "3   ab  | 3 ['a', 'b', 'c'] | True",
    ],
    [
      "{{ strftime_now('%Y-%m-%d %j %a %A %b %B %y %-d %e %U %u %% %F') }}",
      "2026-11-25 329 Wed Wednesday Nov November 26 25 25 47 3 % 2026-11-25",
    ],
  ],
};

describe.each(Object.entries(PRINTED))("%s", (_, cases) => {
  test.each(cases)("%j", (template, text) => {
    expect(render(template, D)).toBe(text);
  });
});

/** What jinja2 refuses, and a word of the reason. */
test.each([
  ["{{ x.y }}", "'x' is undefined"],
  ["{{ d.x.y }}", "'dict object' has no attribute 'x'"],
  ["{{ x + 1 }}", "'x' is undefined"],
  ["{{ 'a' + x }}", "'x' is undefined"],
  ["{{ x() }}", "'x' is undefined"],
  ["{{ 'a' + 1 }}", "unsupported operand"],
  ["{{ 1 + 'a' }}", "unsupported operand"],
  ["{{ [1] + 'a' }}", "unsupported operand"],
  ["{{ 1 < 'a' }}", "not supported between"],
  ["{{ none < 1 }}", "not supported between"],
  ["{{ 1 in 'a' }}", "requires string"],
  ["{{ 1 in 1 }}", "not iterable"],
  ["{% for i in 1 %}{% endfor %}", "not iterable"],
  ["{{ 1 // 0 }}", "by zero"],
  ["{{ 1 / 0 }}", "by zero"],
  ["{{ l.append(1) }}", "unsafe"],
  ["{{ d.update({}) }}", "unsafe"],
  ["{{ {[1]: 2} }}", "unhashable"],
  ["{{ x | tojson }}", "not JSON serializable"],
  ["{{ ['a', 1] | sort }}", "not supported between"],
  ["{{ [1, 'a'] | sum }}", "unsupported operand"],
  ["{{ 'a'.index('b') }}", "not found"],
  ["{{ 'a'.split('') }}", "empty separator"],
  ["{{ ','.join([1]) }}", "expected str"],
  ["{{ '%d' % 'a' }}", "required"],
  ["{{ '%s %s' % 1 }}", "not enough arguments"],
  ["{{ '%s' % (1, 2) }}", "not all arguments"],
  ["{{ '{}'.format() }}", "out of range"],
  ["{% for a, b in [(1,)] %}{% endfor %}", "not enough values"],
  ["{% for a, b in [(1, 2, 3)] %}{% endfor %}", "too many values"],
  ["{% set x.y = 1 %}", "non-namespace"],
  ["{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "not more than 1"],
  ["{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "no keyword argument 'b'"],
  ["{{ (l | map('string'))|length }}", "no len()"],
  ["{{ 1 | nonsense }}", "No filter named 'nonsense'"],
  ["{{ 1 is nonsense }}", "No test named 'nonsense'"],
  ["{{ l | map('nonsense') | list }}", "No filter named"],
  ["{{ range(100001) }}", "range"],
  ["{% do 1 %}", 'unknown tag "do"'],
  ["{% include 'x' %}", 'unknown tag "include"'],
  ["{{ raise_exception('no') }}", "no"],
  ["{{ 'a }}", "unexpected character"],
  ["{{ (1 }}", "unexpected"],
  ["{% if 1 %}", "end of the template"],
  ["{# a", "comment"],
])("%s fails", (template, reason) => {
  expect(() => render(template, D)).toThrow(reason);
});

test("an error names the line of the innermost statement", () => {
  const lineOf = (source: string): unknown => {
    try {
      return render(source);
    } catch (error) {
      return (error as { line?: number }).line;
    }
  };
  expect(lineOf("a\n{% if true %}\n\n{{ 1 + x }}\n{% endif %}")).toBe(4);
  expect(lineOf("{% macro m() %}\n{{ x.y }}{% endmacro %}\n\n{{ m() }}")).toBe(2);
  expect(lineOf("{% raw %}\n\n{% endraw %}\n{{- '\n' ~ x.y }}")).toBe(4);
  expect(lineOf("\n\n{{ 1 ! 2 }}")).toBe(3);
});
