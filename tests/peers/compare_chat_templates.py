#!/usr/bin/env python3
"""Renders chat templates with Python's jinja2, set up as `transformers` does it, and with bitkerf, and compares.

    compare_chat_templates.py [RENDER_TEMPLATE [TEMPLATE_OR_FOLDER...]]

RENDER_TEMPLATE is the built program of tests/render_template.cc, the templates are *.jinja files; by default those of
the release build and of llama.cpp in ~/.cache/peers. Needs the package jinja2. Every template is rendered with a
matrix of conversations. SHOW=n prints n differences of each template, ERRORS=1 what both sides say where both refuse.
"""
import copy
import datetime
import glob
import itertools
import json
import os
import subprocess
import sys

try:
    import jinja2
    import jinja2.ext
except ImportError:
    print("skipped: this comparison needs the Python package jinja2")
    sys.exit(77)
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1700000000


class Generation(jinja2.ext.Extension):
    """{% generation %}: what transformers' AssistantTracker parses."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW).strftime(form)
    return env


def reference(template, variables):
    """(text, None) or (None, error)"""
    try:
        return template.render(**copy.deepcopy(variables)), None
    except Exception as error:  # whatever Python raises is a failed rendering
        return None, f"{type(error).__name__}: {error}"


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8")

    def render(self, source, variables):
        request = {"template": source, "variables": variables, "now": NOW}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer.get("text"), answer.get("error")


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a place,\nnow or <later> & \"always\"",
        "parameters": {"type": "object", "required": ["location"], "properties": {
            "location": {"type": "string", "description": "City, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": ["integer", "null"], "minimum": 1},
            "hours": {"type": "array", "items": {"type": "number"}, "description": "Hours"},
            "detail": {"type": "object", "properties": {"wind": {"type": "boolean"}}, "required": []}}},
        "return": {"type": "object", "properties": {"t": {"type": "number"}}}}},
    {"type": "function", "function": {"name": "stop", "description": "Stops", "parameters": {
        "type": "object", "properties": {}}}},
]


def call(name, arguments, number="call00001"):
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    system = {"role": "system", "content": "You are terse.\n"}
    user = {"role": "user", "content": "  Hello <there> & \"you\", wörld 🎈  "}
    answer = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi. "}
    more = {"role": "user", "content": "And?\n"}
    weather = {"location": "Zürich", "days": 2, "hours": [1, 2.5], "detail": {"wind": True}, "unit": None}
    called = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", weather)]}
    called_none = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", weather)]}
    called_text = {"role": "assistant", "content": "Let me see.", "reasoning_content": "need weather",
                   "tool_calls": [call("get_weather", json.dumps(weather)), call("stop", "{}", "call00002")]}
    no_content = {"role": "assistant", "tool_calls": [call("stop", {})]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"t\": 21.5}"}
    second = {"role": "tool", "name": "stop", "tool_call_id": "call00002", "content": "stopped"}
    parts = {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]}
    image = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    thought = {"role": "assistant", "content": "Yes.", "reasoning_content": "so it is", "thinking": "so it is"}
    yield "user", [user]
    yield "system+user", [system, user]
    yield "developer+user", [{"role": "developer", "content": "Be nice"}, user]
    yield "turns", [user, answer, more]
    yield "system+turns", [system, user, answer, more, thought, more]
    yield "ends with answer", [system, user, answer]
    yield "thought", [user, thought, more]
    yield "calls", [user, called, result, answer, more]
    yield "calls, content null", [user, called_none, result]
    yield "calls, arguments as text", [system, user, called_text, result, second, answer, more]
    yield "call without content", [user, no_content, second]
    yield "ends with call", [user, called]
    yield "parts", [parts]
    yield "system parts", [{"role": "system", "content": [{"type": "text", "text": "Be brief"}]}, parts, answer, parts]
    yield "image", [image]
    yield "two users", [user, more]
    yield "starts with answer", [answer, user]
    yield "unknown role", [{"role": "narrator", "content": "Once"}]
    yield "empty", []
    yield "empty content", [{"role": "user", "content": ""}]
    yield "documents", [system, user]


def variables():
    options = [{}, {"enable_thinking": True}, {"enable_thinking": False}, {"reasoning_effort": "high"},
               {"thinking": True}, {"date_string": "26 Jul 2024", "add_vision_id": True},
               {"functions": json.dumps(TOOLS), "datetime": "2024-07-26", "custom_tools": TOOLS}]
    for (name, messages), tools, prompt, option in itertools.product(
            conversations(), (None, TOOLS), (False, True), options):
        given = {"messages": messages, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", **option}
        # transformers passes these two always, as None when there are none
        given["tools"] = tools
        given["documents"] = [{"title": "A", "text": "b"}] if name == "documents" else None
        yield f"{name}; tools={tools is not None}; prompt={prompt}; {option}", given
    # llama.cpp leaves them out
    for name, messages in conversations():
        yield f"{name}; bare", {"messages": messages, "add_generation_prompt": True, "bos_token": "", "eos_token": ""}


def main():
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = sys.argv[1] if len(sys.argv) > 1 else os.path.join(source, "build/release/tests/render_template")
    paths = sys.argv[2:] or [os.path.expanduser("~/.cache/peers/llama.cpp/models/templates")]
    files = [f for p in paths for f in (sorted(glob.glob(os.path.join(p, "*.jinja"))) if os.path.isdir(p) else [p])]
    if not files:
        print(f"skipped: no templates in {paths[0]}")
        sys.exit(77)
    env, ours = environment(), Ours(program)
    bad_templates = renderings = both_fail = wrong = 0
    for path in files:
        with open(path, encoding="utf-8") as file:
            source = file.read()
        template = env.from_string(source)
        count = same = refused = 0
        shown = []
        for name, given in variables():
            count += 1
            expected, expected_error = reference(template, given)
            text, error = ours.render(source, given)
            if text is not None and text == expected:
                same += 1
            elif text is None and expected is None:
                refused += 1
            elif len(shown) < int(os.environ.get("SHOW", "1")):
                shown.append(f"  {name}\n    expected {expected!r} {expected_error or ''}\n    got      {text!r} {error or ''}")
            if os.environ.get("ERRORS") and expected is None:
                print(f"    {expected_error}\n      {error}")
        renderings += same
        both_fail += refused
        wrong += count - same - refused
        bad_templates += same + refused < count
        print(f"{os.path.basename(path)}: {same} equal, {refused} refused by both, {count - same - refused} differ")
        print("\n".join(shown), end="\n" if shown else "")
    print(f"{len(files)} templates, {len(files) - bad_templates} of them without a difference; "
          f"{renderings} renderings equal, {both_fail} refused by both, {wrong} differ")
    sys.exit(bad_templates > 0)


if __name__ == "__main__":
    main()
