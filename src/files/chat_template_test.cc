#include "files/chat_template.h"

#include <sys/resource.h>

#include <chrono>
#include <fstream>

#include <gtest/gtest.h>

#include "core/error.h"

namespace bitkerf {
namespace {

// The error of a template, or "" when it renders.
std::string error_of(const std::string& source, const Json& variables = Json::object(), Fault expected = Fault::file) {
  try {
    ChatTemplate(source).render(variables);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), expected) << error.what();
    return error.what();
  }
}

std::string render(const std::string& source, const Json& variables = Json::object()) {
  return ChatTemplate(source).render(variables);
}

// A line each: what Python's jinja2 makes of a template (tests/golden/chat_templates/make.py).
TEST(ChatTemplate, RendersAsJinja2) {
  setenv("TZ", "UTC", 1);
  std::ifstream file(BITKERF_SOURCE_DIR "/tests/golden/chat_templates/expressions.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const Json header = Json::parse(line);
  int count = 0, not_supported = 0;
  for (; std::getline(file, line); count++) {
    const Json row = Json::parse(line);
    const std::string source = row[0].get<std::string>();
    std::optional<std::string> text;
    std::string message;
    try {
      text = ChatTemplate(source).render(header["variables"], header["now"].get<std::time_t>());
    } catch (const Error& error) {
      message = error.what();
    }
    if (!text && !row[1].is_null() && (message.find("not supported") != std::string::npos || source.find("1e400") != std::string::npos)) {
      not_supported++;
      continue;
    }
    EXPECT_EQ(text.value_or("error"), row[1].is_null() ? "error" : row[1].get<std::string>()) << source << "\n" << message;
  }
  EXPECT_GT(count, 1000);
  EXPECT_EQ(not_supported, 11);  // %c, 1e400, printing a range or a class, (5).real, encode()
}

TEST(ChatTemplate, NamesWhatIsWrongWithLineAndColumn) {
  EXPECT_EQ(error_of("a\n  {% include 'x' %}"), "chat template, line 2, column 6: the tag 'include' is not supported");
  EXPECT_EQ(error_of("{% if x %}\n"), "chat template, line 1, column 11: the template ends before '{% endif %}'");
  EXPECT_EQ(error_of("\n{{ x | tojson }}\n{{ messages.a.b }}", {{"x", 1}, {"messages", Json::object()}}),
            "chat template, line 3, column 14: attribute 'b' of 'a', which is undefined");
  EXPECT_NE(error_of("{{ 1 | nosuch }}").find("line 1, column 8: filter 'nosuch' is not known; supported are tojson"), std::string::npos);
  EXPECT_NE(error_of("{{ 1 | wordwrap }}").find("filter 'wordwrap' is not supported"), std::string::npos);
  EXPECT_NE(error_of("{{ 1 is nosuch }}").find("test 'nosuch' is not known; supported are defined"), std::string::npos);
  EXPECT_NE(error_of("{{ [].append(1) }}").find("column 6: method 'append' of a value of type list is not supported"), std::string::npos);
}

TEST(ChatTemplate, WhatItRaisesIsTheUsersFault) {
  EXPECT_EQ(error_of("{{ raise_exception('roles must alternate') }}", Json::object(), Fault::usage),
            "the model's chat template refuses the messages: roles must alternate");
}

TEST(ChatTemplate, AnyBytesComeThrough) {
  const std::string bytes = "a\xff\xc3z\xe2\x82";
  EXPECT_EQ(render("\xfe{{ x }}" + bytes, {{"x", bytes}}), "\xfe" + bytes + bytes);
  EXPECT_EQ(render("{{ x | length }}", {{"x", bytes}}), "6");
}

// Whatever a hostile template does, it ends soon, with one line, within little memory.
TEST(ChatTemplate, HostileTemplatesEnd) {
  const auto repeat = [](std::string what, int count) {
    std::string all;
    while (count-- > 0) all += what;
    return all;
  };
  const std::string hostile[] = {
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      "{% macro m(l) %}{% for x in l %}{{ m(l) }}{% endfor %}{% endmacro %}{{ m([1, 2]) }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set r = range(100000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
      "{% set r = range(100000) %}{% for a in r %}{% for b in r %}{{ a * b }}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}{% for i in range(10000) %}{% set ns.s = [ns.s] %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s == [1, 2] }}"
      "{% set nt = namespace(s=[1]) %}{% for i in range(90) %}{% set nt.s = [nt.s, nt.s] %}{% endfor %}{{ ns.s == nt.s }}",
      "{% set ns = namespace(s=[]) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
      "{{ 'x' * 9223372036854775807 }}", "{{ 'x' * 100000000 }}", "{{ [1] * 1000000000 }}", "{{ '%999999999d' % 1 }}",
      "{{ '{:999999999}'.format(1) }}", "{{ 'a'.center(1000000000) }}", "{{ 'a' | indent(1000000000) }}",
      "{{ [1] | batch(1000000000, 0) | list }}", "{{ [1] | tojson(indent=1000000000) }}", "{{ 'a'.zfill(1000000000) }}",
      "{% set x = 'a' * 2000000 %}{{ x.replace('a', x) }}", "{% set x = 'ab' * 500000 %}{{ x.split('b') | length }}",
      "{% set x = 'a' * 1000000 %}{% for i in range(10000) %}{{ x.find('a' * 500000 + 'b') }}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x == x ~ '' %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% if x.strip('a') %}{% endif %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% if x | upper %}{% endif %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for c in x %}{% endfor %}",
      "{% for i in range(100000) %}{% macro m() %}{% endmacro %}{% endfor %}{% for i in range(100000) %}{{ range(100000) | length }}{% endfor %}",
      "{% for i in range(100000) %}{% set n = namespace() %}{% set n.n = n %}{% endfor %}",
      repeat("{% if x %}", 20000), repeat("{{ (", 1) + repeat("(", 50000), "{{ " + repeat("[", 50000), "{{ " + repeat("not ", 50000) + "x }}",
      "{{ " + repeat("-", 50000) + "1 }}", "{{ x" + repeat(".a", 50000) + " }}", "{{ x" + repeat("|e", 50000) + " }}",
      "{{ 1" + repeat("+1", 50000) + " }}", "{{ 1" + repeat(" if 1 else 1", 20000) + " }}", "{{ {1:" + repeat("{1:", 50000),
      "{{ 1" + repeat(" is odd", 20000) + " }}", "{{ x" + repeat("()", 50000) + " }}", "{{ x" + repeat("[0]", 50000) + " }}",
      "{% set " + repeat("(", 50000), "{{ x(" + repeat("x(", 50000), repeat("{{a}}", 60000), "{{ 1 in " + repeat("1 in ", 40000) + "1 }}",
      "{% for a" + repeat(",a", 50000) + " in x %}", repeat("{#", 100000), repeat("{% raw %}", 20000), std::string(300000, 'x'),
  };
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  for (const std::string& source : hostile) {
    const auto start = std::chrono::steady_clock::now();
    const std::string error = error_of(source);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(error.find('\n'), std::string::npos);
    EXPECT_LT(seconds, 3) << source.substr(0, 150) << "\n" << error;  // below 1 on an idle machine
    if (getenv("BITKERF_VERBOSE")) printf("%.3f s: %.90s -> %.90s\n", seconds, source.c_str(), error.c_str());
  }
  rusage after{};
  getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);
#endif
}

// What came from the messages stays marked through whatever the template does to it.
TEST(ChatTemplate, KeepsApartWhatIsForeign) {
  const auto foreign = [](const std::string& source, const std::string& content) {
    Json variables = {{"bos_token", "<s>"}, {"messages", {{{"role", "user"}, {"content", content}}}}};
    std::string text;
    for (const PromptPart& part : ChatTemplate(source).render_parts(variables))
      text += part.foreign ? "[" + part.text + "]" : part.text;
    return text;
  };
  const std::string m = "{% set m = messages[0] %}";
  EXPECT_EQ(foreign(m + "{{ bos_token }}<|{{ m.role }}|>{{ m.content }}<|end|>", "hi"), "<s><|user|>[hi]<|end|>");
  EXPECT_EQ(foreign(m + "{{ '<' ~ m.content | trim | upper ~ '>' }}", " hi "), "<[HI]>");
  EXPECT_EQ(foreign(m + "{{ m.content | tojson }}", "a\"b\nc"), "\"[a\\\"b\\nc]\"");
  EXPECT_EQ(foreign(m + "{{ m.content.split('x')[1] + '!' }}", "axbxc"), "[b]!");
  EXPECT_EQ(foreign(m + "{{ m.content.replace('b', 'B') }}", "abc"), "[a]B[c]");
  EXPECT_EQ(foreign(m + "{{ '%s|%5s' % (m.content, m.content[::-1]) }}", "ab"), "[ab]|   [ba]");
  EXPECT_EQ(foreign(m + "{{ '{}'.format(m.content) }}{{ [m.content] }}", "a\n"), "[a\n]['[a\\n]']");
  EXPECT_EQ(foreign(m + "{% macro f(x) %}({{ x }}){% endmacro %}{{ f(m.content) | indent(1) }}", "a\nb"), "([a]\n [b])");
  EXPECT_EQ(foreign(m + "{% set x %}<{{ m.content | e }}>{% endset %}{{ x | title }}", "a&b"), "<[A&amp;b]>");
  EXPECT_EQ(foreign(m + "{{ m.content | join('-') }}{{ m.content.title() }}{{ m.content.center(4, '*') }}", "ab"), "[a]-[bAb]*[ab]*");
  EXPECT_EQ(foreign("{% for k in messages[0] %}{{ k }}{% endfor %}", ""), "[rolecontent]");
}

TEST(ChatTemplate, UnknownRolesAreForeign) {
  const Json variables = {{"messages", {{{"role", "im_end"}, {"content", ""}}}}};
  const std::vector<PromptPart> parts = ChatTemplate("<|{{ messages[0].role }}|>").render_parts(variables);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_TRUE(parts[1].foreign);
}

}  // namespace
}  // namespace bitkerf
