#!/usr/bin/env python3
"""Writes expressions.jsonl: small templates with what Python's jinja2 (set up as `transformers` does it, see
tests/peers/compare_chat_templates.py) makes of them; null where it raises an error.

    TZ=UTC python make.py > expressions.jsonl      (made with jinja2 3.1.6 and CPython 3.11)
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../peers"))
import compare_chat_templates as peer  # noqa: E402

VARIABLES = {
    "n": 7, "m": -3, "f": 2.5, "big": 9007199254740993, "yes": True, "no": False, "nothing": None, "empty": "",
    "s": "Hello, World", "u": "naïve Straße 🎈 Ωσς", "spaces": "  a  b\tc \n", "xml": "<a href=\"x\">'&'</a>",
    "list": [3, 1, 2], "words": ["b", "A", "c", "B"], "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "d": {"b": 1, "a": {"x": [1, 2]}, "items": "own", "C": None}, "people": [
        {"name": "Bo", "age": 5, "tags": ["x"]}, {"name": "al", "age": 3}, {"name": "Cy", "age": 5, "tags": []}],
    "quotes": "it's \"q\"", "lines": "one\ntwo\r\nthree\n\nfour",
}

EXPRESSIONS = r"""
n + m | n - m | n * m | n / 2 | n // 2 | m // 2 | n % 3 | m % 3 | 2 ** 10 | 2 ** -1 | 2 ** 3 ** 2 | -2 ** 2 | 7 // -2 | -7 % -3
f + 1 | f * 2 | f // 1 | -f // 1 | f % 1 | -f % 2 | 1e3 | 1e16 | 1e15 | 1.0 | 0.1 + 0.2 | 1e-5 | 0.0001 | 123456789.123 | 1/3 | 1e300 * 1e10
10 / 5 | yes + yes | yes * 3 | not yes | not nothing | n > 3 and m | n > 30 or 'x' | nothing or empty or 'z' | yes and no and 1
1 / 0 | 1 // 0 | 1 % 0 | n + s | s + n | s * 2 | 2 * s | list * 2 | list + [9] | list + 'a' | s * -1 | 'ab' * yes | 9223372036854775807 | big * 2
1 < 2 < 3 | 1 < 2 > 5 | 1 == 1.0 | 1 == yes | 'a' < 'b' | 'B' < 'a' | 'a' < 1 | [1, 2] < [1, 3] | [1] == (1,) | (1, 2) == (1, 2) | nothing == none | undefd == nothing | {'a': 1} == {'a': 1.0}
'lo' in s | 'x' not in s | 2 in list | 'b' in d | 'x' in undefd | 1 in s | undefd in s | 'a' in people | nothing in mixed | not 1 in list
s ~ n ~ f ~ yes ~ nothing ~ undefd ~ list | 1 ~ 2 + 3 | mixed | d | (1,) | () | (1, 'a') | [] | {} | {1: 2, 'a': none, 2.5: yes} | [1.0, -0.0] | quotes | [quotes] | ['it\'s'] | [u] | ["\n\t\\ \x07 \u200b é"]
s[0] | s[-1] | s[1:4] | s[::-1] | s[::2] | s[10:100] | s[-5:] | s[:-1] | s[100] | list[0] | list[-1] | list[7] | list[1:] | list[::-1] | list[5:2] | u[0:6] | u[13] | u | length | s[5:1:-2] | s[none:3] | nothing[1:] | n[0] | (1,2,3)[1:] | s['upper']() | list['x'] | s[::0]
d.b | d['b'] | d.items | d['items'] | d.a.x | d.a.x[1] | d.zz | d.zz.y | d['zz'] | d.C | d.C.x | d.C.x.y | undefd | undefd.x | undefd['x'] | undefd() | undefd + 1 | undefd ~ 1 | undefd == 1 | -undefd | undefd < 1 | undefd * 2 | undefd[1:] | nothing.x | n.x | s.x | list.x
d.items() | d.keys() | d.values() | d.get('b') | d.get('zz') | d.get('zz', 5) | d.items() | list | d | list | d.items() | length | d.keys() | first | d.keys()[0] | d.pop('b') | d.update({}) | list.append(1) | list.index(2) | list.count(3) | list.index(9) | d.copy()
s.upper() | s.lower() | s.title() | s.capitalize() | s.swapcase() | u.upper() | u.lower() | u.title() | u.capitalize() | 'ΑΣ'.lower() | 'ΑΣ Σ'.lower() | 'ﬁx'.upper() | 'ﬁx'.title() | 'İ'.lower() | "they're".title()
spaces.strip() | spaces.lstrip() | spaces.rstrip() | s.strip('Hd') | s.lstrip('H') | s.rstrip('dlr') | spaces.split() | spaces.split(' ') | s.split(', ') | s.split('l', 1) | s.split('l', 2) | 'a b c '.rsplit(none, 1) | ' a b c'.rsplit(none, 1) | ' a  b c '.split(none, 1) | 'a.b.c'.rsplit('.', 1) | 'a.b.c'.rsplit('.') | 'aaa'.rsplit('aa') | 'aaaa'.rsplit('aa', 1) | ''.split() | ''.split(',') | s.split('') | s.split(sep=',') | s.split(',', maxsplit=1)
lines.splitlines() | lines.splitlines(true) | s.startswith('He') | s.startswith(('x', 'H')) | s.startswith('e', 1) | s.endswith('ld') | s.endswith(('a', 'd')) | s.endswith('l', 0, -1) | s.startswith(['H']) | s.find('o') | s.rfind('o') | s.find('zz') | s.index('zz') | s.index('W') | s.find('o', 5) | s.find('l', -3) | s.count('l') | s.count('') | 'aaaa'.count('aa') | s.count('o', 5)
s.replace('l', 'L') | s.replace('l', 'L', 1) | 'aaa'.replace('', '-') | 'aaa'.replace('', '-', 2) | ''.replace('', 'x') | s.replace('o', '') | '-'.join(['a', 'b']) | '-'.join([1]) | '-'.join('abc') | '-'.join(d) | 'a'.center(4) | 'a'.center(5, '*') | 'ab'.center(5) | 'a'.ljust(3) ~ '|' | 'a'.rjust(3) | '-5'.zfill(4) | '5'.zfill(3) | 'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | 'ab'.partition('=') | 'ab'.rpartition('=') | 'abc'.removeprefix('a') | 'abc'.removesuffix('c') | 'abc'.removesuffix('')
'a'.isalpha() | 'a1'.isalnum() | '12'.isdigit() | '1²'.isdigit() | '1²'.isdecimal() | ' '.isspace() | 'A1'.isupper() | '1'.isupper() | 'ab'.islower() | 'é'.isascii() | ''.isalpha() | 'é'.isalpha()
'%s-%s' % ('a', 1) | '%d' % 3.7 | '%05d' % 42 | '%+d' % 5 | '%-5d|' % 5 | '%5.1f' % f | '%x' % 255 | '%X' % 255 | '%#x' % 255 | '%e' % 12345.678 | '%g' % 0.00001 | '%%' % () | '%s' % none | '%r' % 'a' | '%(b)s' % d | '%s' % [1] | '%s %s' % 'a' | '%s' % ('a', 'b') | '%d' % 'a' | '%.2s' % 'abc' | '%5s|' % 'ab' | '%-5s|' % 'ab' | '%q' % 1 | '%o' % 8 | '% d' % 5 | '%c' % 'a'
'{} {}'.format(1, 'a') | '{0}{1}{0}'.format(1, 2) | '{a}'.format(a=3) | '{:>5}'.format('a') | '{:*^7}'.format('a') | '{:05d}'.format(42) | '{:,}'.format(1234567) | '{:.2f}'.format(f) | '{:x}'.format(255) | '{!r}'.format('a') | '{{}}'.format() | '{} {}'.format(1) | '{:d}'.format('a') | '{:<4}|'.format(1) | '{:+}'.format(1) | '{:%}'.format(0.25) | '{:e}'.format(1.5) | '{:#x}'.format(255) | '{:_}'.format(1234567) | '{a}'.format() | '{:5}|'.format(1) | '{:5}|'.format('a') | '{:b}'.format(5)
s | upper | s | lower | 'a b-c (d' | title | s | capitalize | spaces | trim | s | trim('Hd') | s | length | list | length | d | length | undefd | length | n | length | nothing | length | s | list | list | first | list | last | s | first | [] | first | undefd | first | d | first | words | join | words | join(', ') | list | join('-') | people | join(', ', attribute='name') | undefd | join
words | sort | words | sort(case_sensitive=true) | words | sort(reverse=true) | people | sort(attribute='age') | map(attribute='name') | list | mixed | sort | list | max | list | min | words | max | [] | min | list | sum | people | sum(attribute='age') | people | sum('age', 10) | words | unique | list | [1, 1.0, 2] | unique | list
people | map(attribute='name') | list | people | map(attribute='zz') | list | people | map(attribute='zz', default='-') | list | words | map('upper') | join | people | map(attribute='tags.0', default='?') | list | words | map('replace', 'b', 'x') | list | words | map | words | map('nofilter') | list
list | select('odd') | list | list | reject('odd') | list | mixed | select | list | mixed | select('string') | list | people | selectattr('tags') | map(attribute='name') | list | people | selectattr('age', 'equalto', 5) | map(attribute='name') | list | people | selectattr('tags', 'defined') | list | length | people | rejectattr('age', '>', 3) | list | length | list | select('in', [1, 2]) | list | list | select('odd') | list | select('odd') | first | (list | select('odd'))[0] | list | map('string') | list | undefd | select | list
d | dictsort | d | dictsort(reverse=true) | d | dictsort(true) | {'a': 2, 'b': 1} | dictsort(by='value') | d | items | list | undefd | items | list | list | items | list | n | items | list
s | replace('l', 'L') | s | replace('l', 'L', 1) | n | replace(7, 8) | s | reverse | list | reverse | list | [1,2,3,4,5] | batch(2) | list | [1,2,3] | batch(2, 0) | list | lines | indent | lines | indent(2, true) | lines | indent(2, blank=true) | lines | indent('> ') | n | indent | s | truncate(8) | s | truncate(5, true) | s | truncate(5, true, '..', 0) | s | center(20) ~ '|'
'42' | int | '42.7' | int | 'x' | int | 'x' | int(5) | f | int | ' 12 ' | int | '1_000' | int | '0x1f' | int(0, 16) | '101' | int(base=2) | nothing | int | yes | int | '1.5' | float | 'x' | float | n | float | '1e3' | float | 'inf' | float | '1e3' | int | undefd | int | m | abs | -2.5 | abs | s | abs
2.5 | round | 3.5 | round | 2.567 | round(2) | 2.5 | round(0, 'floor') | 2.1 | round(0, 'ceil') | n | round | 2.675 | round(2) | 1234.5 | round(1, 'ceil')
undefd | default('x') | nothing | default('x') | empty | default('x', true) | undefd | d | s | default('x') | undefd.x | default('x') | d.zz | default('x') | d.zz.y | default('x') | 0 | default(5, boolean=true)
xml | e | xml | safe | (xml | safe) + '<' | '<' + (xml | safe) | (xml | safe) ~ '<' | xml | escape | upper | (xml | safe | trim) + '&' | (xml | e) | e | xml | safe | length | xml | tojson | safe
d | tojson | mixed | tojson | u | tojson | u | tojson(ensure_ascii=true) | d | tojson(indent=2) | d | tojson(indent=0) | d | tojson(sort_keys=true) | d | tojson(separators=(',', ':')) | [] | tojson(indent=2) | {} | tojson | undefd | tojson | (1, 2) | tojson | {1: 2, none: 3, true: 4} | tojson | f | tojson | 1e100 | tojson | "\x01\x7f\"\\/\b" | tojson | nothing | tojson | d | tojson(indent='--') | {2.5: 1} | tojson | {(1, 2): 1} | tojson | d.items() | tojson | 1e400 | tojson
n is odd | n is even | n is divisibleby 7 | n is divisibleby(2) | s is string | n is string | d is mapping | list is mapping | list is iterable | n is iterable | s is sequence | d is sequence | undefd is sequence | undefd is iterable | n is number | yes is number | yes is integer | n is integer | f is float | yes is boolean | yes is true | 1 is true | no is false | nothing is none | undefd is none | undefd is defined | undefd is undefined | d.zz is defined | n is not string | not n is string | n is eq 7 | n is equalto(7) | n is gt 3 | n is lt(3) | 'a' is in 'abc' | n is in [7] | s is upper | 'AB' is upper | 'a' is lower | nothing is sameas none | 'upper' is filter | 'zz' is filter | 'odd' is test | range is callable | undefd is callable | n is nosuch | n is ge 7 | n is ne 7 | xml | safe is escaped
'a' if yes | 'a' if no | 'a' if no else 'b' | 'a' if no else 'b' if no else 'c' | ('a' if no) is defined | yes if 1 else 2 if 3 else 4
range(3) | list | range(1, 4) | list | range(5, 0, -2) | list | range(0) | list | range(3) | length | range(1, 3)[1] | range(1000000) | list | range(1, 2, 0) | dict(a=1, b=2) | dict({'a': 1}, b=2) | namespace(a=1).a | namespace(a=1).b | namespace | lipsum | strftime_now('%Y-%m-%d') | strftime_now('%d %B %Y, %H:%M') | raise_exception('no') | cycler(1)
"a" "b" | 'a\nb' | 'a\'b' | "\u00e9\x41\101" | 'a\qb' | 0x1F | 0b101 | 0o17 | 1_000 | 1.5e2 | 1E2 | 00 | [1, 2,] | {'a': 1,} | (1) | (1,2)[0] | 5.real | [[1, 2], [3]][0][1] | {'a': {'b': 'c'}}.a.b | {'a': 1}['a'] | -n | +n | - -n | --n | -s | not not n | [1,2,3][-2:] | d.a['x'].0 | d.a.x.0 | d.a.x.5 | people.0.name | people[-1]['name'][0] | 'abc'.0 | s.split(',')[1].strip() | s.upper().lower().title() | (s ~ '!').upper() | "{{ x }}" | '%}'
""".strip()

BLOCKS = r"""
{% if n > 3 %}big{% elif n %}small{% else %}none{% endif %}
{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }}{{ x }};{% endfor %}
{% for x in [] %}a{% else %}none{% endfor %}
{% for x in undefd %}a{% else %}none{% endfor %}
{% for x in nothing %}a{% endfor %}
{% for x in list if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in list %}{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for c in 'añb' %}[{{ c }}]{% endfor %}
{% for x in list %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }} {% endfor %}
{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for x in [1, [2, [3]]] recursive %}{{ x if x is number else loop(x) }}{{ loop.depth }}{% endfor %}
{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a }}{{ b }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}
{% for x in (1, 2), (3, 4) %}{{ x }}{% endfor %}
{% for x in 1, 2, 3 %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in list %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% for i in list %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a = [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}{{ ns.b }}
{% set d.b = 1 %}
{% set undefd.b = 1 %}
{% if yes %}{% set x = 5 %}{% endif %}{{ x }}
{% if no %}{% set x = 5 %}{% endif %}{{ x }}{{ x is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1, 2, 3] %}
{% set (a, b) = (1, 2) %}{{ a + b }}
{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x | length }}
{% set x | upper | trim %} a{{ n }}b {% endset %}{{ x }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}
{% macro m() %}{{ n }}{% endmacro %}{{ m() | upper }}{{ m().strip() }}{{ m.name }}
{% macro m(k) %}{% if k > 0 %}{{ k }}{{ m(k - 1) }}{% endif %}{% endmacro %}{{ m(5) }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 3 %}{{ m() }}
{% set v = 1 %}{% macro m() %}{% set v = 2 %}{{ v }}{% endmacro %}{{ m() }}{{ v }}
{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(x) %}[{{ caller() }}]{% endmacro %}{% call m(1) %}in{{ n }}{% endcall %}
{% macro m(x) %}[{{ caller(x, 2) }}]{% endmacro %}{% call(a, b) m(1) %}{{ a }}{{ b }}{% endcall %}
{% macro m(x) %}[{{ x }}]{% endmacro %}{% call m(1) %}in{% endcall %}
{% macro m(l) %}{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}{% endmacro %}{{ m(list) }}{{ m([]) }}
{{ m() }}{% macro m() %}x{% endmacro %}
{% macro m(*args) %}{% endmacro %}
{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}{{ f(1, *[2]) }}
{% filter upper %}a{{ s }}{% endfilter %}
{% filter replace('a', 'b') | upper %}banana{% endfilter %}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}
{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}{{ s }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ n }}{% if %}{% endraw %}
{% raw -%}   {{ n }}   {%- endraw %}|
a {# comment {{ n }} #} b
a {#- c -#} b
{{- n -}} {{ n }}
a  {{- n }}  b {{ n -}}  c
a  {%- if yes %}  b  {%- endif -%}   c
{% if yes -%}   x   {%- endif +%}
{{ {'a': {'b': 1}} }}
{{ {} }}{{ [{}] }}
{% set x = {'a': [1, {'b': 2}]} %}{{ x.a[1].b }}
{{ n
}}
{% if n %}{{ n }}
{% if n is defined and n > 3 or no %}a{% endif %}
{% if a.b.c %}x{% endif %}
{% if d.zz and d.zz.y %}x{% else %}y{% endif %}
{% unknown %}
{% endif %}
{% include 'x' %}
{% import 'x' as y %}
{{ n | nosuchfilter }}
{% if no %}{{ n | nosuchfilter }}{% endif %}ok
{% do list %}
{{ }}
{{ n n }}
{{ 'abc }}
{{ (1, 2 }}
{% for %}{% endfor %}
{% break %}
{% set true = 1 %}
{{ "a" | map }}
{{ loop }}
{% for x in list %}{{ loop.zz }}{% endfor %}
{% for x in list %}{% set loop = 5 %}{{ loop }}{% endfor %}
{% set x = none %}{% set x = x or [] %}{{ x }}{% set x = x + [1] %}{{ x }}
{% set messages = [1, 2, 3] %}{% set messages = messages[1:] %}{{ messages }}
{% for m in people %}{{ m.name ~ ':' ~ m['age'] ~ (', ' if not loop.last else '') }}{% endfor %}
{{ '' ~ none }}{{ none }}{{ undefd }}
{% if undefd %}a{% endif %}{% if not undefd %}b{% endif %}
{{ '{' }}{{ '}' }}{{ '%' }}{{ '}}' }}{{ "{%" }}
{% for x in range(3) %}{{ x }}{% endfor %}{% for i in range(0, list | length) %}{{ list[i] }}{% endfor %}
{{ [1, 2, 3] | map('string') | join('+') }}
{%- for x in list -%} {{ x }} {%- endfor -%}
{% set t = (1, 'x') %}{{ t[0] }}{{ t }}{% set a, b = t %}{{ b }}
{{ d.items() | map('first') | join(',') }}
{{ people | map(attribute='name') | map('lower') | sort | join(',') }}
{% for g in [people] %}{% for p in g if p.tags is defined %}{{ p.name }}{{ loop.length }}{% endfor %}{% endfor %}
{{ s | attr('upper') }}
{{ d | attr('b') }}{{ d | attr('zz') is defined }}
{% set _ = d.update({'a': 1}) %}
{% set x = [] %}{{ x.append(1) }}
{{ s.__class__ }}{{ s.__class__.__name__ }}
{{ s.encode('utf-8') }}
{% set caller = 1 %}{{ caller }}
""".strip()

# White space around tags, where lines matter.
LAYOUTS = [
    "a\n{% if yes %}\nb\n{% endif %}\nc\n", "a\n  {% if yes %}\n  b\n  {% endif %}\nc", "  {{ n }}\n  {% if yes %}x{% endif %}\n",
    "a\n  {%+ if yes %}\nb{% endif %}", "a {% if yes %}b{% endif %}  \n  c", "{% if yes +%}\nb{% endif %}", "{# c #}\nx", "  {# c #}\n  x",
    "a\n\n{%- if yes %}\n\nb{% endif -%}\n\nc", "{% for x in list %}\n  {{ x }}\n{% endfor %}\n", "{% for x in list %}\n  - {{ x -}}\n{% endfor %}\n",
    "a\r\nb\rc\n\n", "\n\n{{ n }}\n\n", "{{ n }}\n", "{% raw %}\n a {{ b }}\n{% endraw %}\nc", "  {% raw %}a{% endraw %}  {% raw %}b{% endraw %}\n",
    "{% set x %}\n a\n{% endset %}\n[{{ x }}]", "{%- macro m() -%}\n x \n{%- endmacro -%}\n[{{ m() }}]", "x{{ '\n' }}{% if yes %}\ny{% endif %}",
    "\t{% if yes %}\t\n\tx{% endif %}", "a\u00a0{%- if yes %}b{% endif %}", "{% if yes %}{% if yes %}\n{% endif %}\n{% endif %}\n|", "{{ n }}  {% if yes %} {% endif %}  {{ n }}",
    "{%if yes%}a{%endif%}", "{{n}}{{-n}}{{n-}} x", "{%- set a = 1 -%}\n\n{%- set b = 2 -%}\n\n{{ a }}{{ b }}\n", "{{ n }}\n\n\n", "", "\n", "plain", "{", "{ {", "a } b", "{{ '{{' }}", "{#- #}", "{# x", "{#", "a{#-", "{{ 07 }}", "{{ 07.5 }}", "{{ list.01 }}", "{{ 0_0 }}",
    "{{+ n }}", "{{ n +}}", "  {%- if yes -%}  \n  {{- n -}}  \n  {%- endif -%}  ",
]


def main():
    # The separator of expressions is " | ", which filters need too: every run of them is a template of its own, and
    # so is every prefix that Python accepts.
    templates = []
    for line in EXPRESSIONS.splitlines():
        pieces = line.split(" | ")
        for i in range(len(pieces)):
            for j in range(i + 1, min(i + 5, len(pieces)) + 1):
                templates.append("{{ " + " | ".join(pieces[i:j]) + " }}")
    env = peer.environment()
    results = []
    for template in templates + BLOCKS.splitlines() + LAYOUTS:
        try:
            compiled = env.from_string(template)
            text, error = peer.reference(compiled, VARIABLES)
        except Exception as failure:
            text, error = None, f"{type(failure).__name__}: {failure}"
        # Pieces joined by chance are of no interest when they are wrong for a trivial reason.
        if error and "No filter named" in error and template.startswith("{{ ") and "nosuch" not in template:
            continue
        if error and ("TemplateSyntaxError" in error or "unexpected" in error) and template in templates and " | " in template:
            continue
        if text and (" at 0x" in text or "object>" in text):
            continue
        results.append([template, text])
    json.dump({"now": peer.NOW, "variables": VARIABLES}, sys.stdout, ensure_ascii=True)
    print()
    for row in results:
        print(json.dumps(row, ensure_ascii=True))


if __name__ == "__main__":
    main()
