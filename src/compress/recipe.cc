#include "compress/recipe.h"

#include <fnmatch.h>

#include "compress/quantizers/round_to_nearest.h"
#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

template <const ScaleRule& kRule>
Quantized nearest(Matrix<const float> weights, const NumberFormat& format, Threads& threads) {
  return round_to_nearest(weights, format, kRule, &threads);
}

constexpr QuantizerRow kQuantizers[] = {
    {"rtn", "round to nearest, scales of least squared error", nearest<scale_rules::squared_error>, "squared error"},
    {"rtn-max", "round to nearest, scales from the largest weight; E8M0 scales are rounded up", nearest<scale_rules::largest>, "min-max"},
    {"rtn-ocp", "the same, but E8M0 scales are rounded down as in the OCP text, which clips", nearest<scale_rules::ocp>, "min-max"},
    {"rtn-wide", "round to nearest, the best of 100 scales from 0.01 to 1.2 of that (LLM-FP4's bias search)", nearest<scale_rules::wide>, "squared error"},
    {"same", "the codes of the source's own blocks where those are a grid (Q4_0, Q4_1), only their scales are rounded; else rtn",
     nearest<scale_rules::own>, "squared error"},
};

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t' || s.front() == '\r')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

// Cuts `text` at the first of `marks` and returns what is before it.
std::string_view cut(std::string_view& text, std::string_view marks) {
  std::size_t at = text.find_first_of(marks);
  std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return head;
}

Recipe parse_recipe(std::string_view text, std::string_view line) {
  Recipe recipe;
  if (text == "keep") return recipe;
  recipe.keep = false;
  std::string_view rest = text;
  std::string_view rounding = trim(cut(rest, "|"));
  recipe.form = std::string(trim(cut(rest, "|")));
  recipe.input = std::string(trim(cut(rest, "|")));
  if (!trim(rest).empty()) fail(Fault::usage, "recipe '{}': expected QUANTIZER/FORMAT | FORM | INPUT, the last two optional", line);
  std::string_view format = rounding;
  std::string_view name = trim(cut(format, "/"));
  std::string known;
  for (const QuantizerRow& row : kQuantizers) {
    if (row.name == name) recipe.quantizer = &row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  if (!recipe.quantizer) fail(Fault::usage, "recipe '{}': unknown quantizer '{}'; known are: {}, keep", line, name, known);
  NumberFormat parsed = parse_number_format(trim(format));
  recipe.format = parsed.name;
  if (recipe.form.empty()) {
    for (const FormRow& row : forms())
      if (recipe.form.empty() && row.open && row.holds_format(parsed)) recipe.form = row.name;
    if (recipe.form.empty()) fail(Fault::usage, "recipe '{}': no form holds the number format {}", line, parsed.name);
  } else {
    const FormRow& row = form(recipe.form);
    if (!row.open || !row.holds_format(parsed)) fail(Fault::usage, "recipe '{}': the form {} does not hold {}", line, recipe.form, parsed.name);
  }
  const FormRow& row = form(recipe.form);
  if (recipe.input.empty()) recipe.input = usual_input(row, parsed).name;
  else if (!takes(row, parsed, encoding(recipe.input)))
    fail(Fault::usage, "recipe '{}': the form {} does not multiply {} by {}", line, recipe.form, parsed.name, recipe.input);
  return recipe;
}

}  // namespace

std::string Recipe::text() const { return keep ? "keep" : fmt::format("{}/{} | {} | {}", quantizer->name, format, form, input); }

std::span<const QuantizerRow> quantizers() { return kQuantizers; }

RecipeBook::RecipeBook(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = cut(text, "\n;");
    std::string_view body = line;
    body = trim(cut(body, "#"));
    if (body.empty()) continue;
    std::string_view value = body;
    std::string_view pattern = trim(cut(value, "="));
    if (pattern.empty() || trim(value).empty()) fail(Fault::usage, "recipe '{}': expected PATTERN = QUANTIZER/FORMAT | FORM | INPUT", trim(line));
    lines_.push_back({std::string(pattern), parse_recipe(trim(value), trim(line))});
  }
  if (lines_.empty()) fail(Fault::usage, "the recipe is empty: expected lines of PATTERN = QUANTIZER/FORMAT | FORM | INPUT");
}

const Recipe& RecipeBook::of(std::string_view matrix) const {
  std::string name(matrix);
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line)
    if (fnmatch(line->pattern.c_str(), name.c_str(), 0) == 0) return line->recipe;
  return keep_;
}

}  // namespace bitkerf
