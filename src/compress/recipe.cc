#include "compress/recipe.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>

#include "compress/quantizers/feedback.h"
#include "compress/quantizers/round_to_nearest.h"
#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

template <const ScaleRule& kRule>
Quantized nearest(const QuantizeTask& task) {
  return round_to_nearest(task.weights, task.format, kRule, &task.threads);
}

template <RoundingOrder kOrder, int kSearches, int kSweeps = 0, int kBeam = 1>
Quantized feedback(const QuantizeTask& task) {
  if (!task.hessian)
    throw Error(Fault::usage, "the quantizer gptq wants statistics of every matrix's input", "quantize --calibration FILE, made by `bitkerf calibrate`");
  const FeedbackOptions options{.order = kOrder, .searches = kSearches, .beam = kBeam, .sweeps = kSweeps};
  FeedbackResult result = quantize_with_feedback(task.weights, task.format, *task.hessian, options, task.threads);
  if (task.row_error) *task.row_error = std::move(result.row_error);
  return std::move(result.quantized);
}

constexpr QuantizerRow kQuantizers[] = {
    {"rtn", "round to nearest, scales of least squared error", nearest<scale_rules::squared_error>, "squared error"},
    {"rtn-max", "round to nearest, scales from the largest weight; E8M0 scales are rounded up", nearest<scale_rules::largest>, "min-max"},
    {"rtn-ocp", "the same, but E8M0 scales are rounded down as in the OCP text, which clips", nearest<scale_rules::ocp>, "min-max"},
    {"rtn-wide", "round to nearest, the best of 100 scales from 0.01 to 1.2 of that (LLM-FP4's bias search)", nearest<scale_rules::wide>, "squared error"},
    {"same", "the codes of the source's own blocks where those are a grid (Q4_0, Q4_1), only their scales are rounded; else rtn",
     nearest<scale_rules::own>, "squared error"},
    {"gptq", "feedback in the order of the largest inputs, then descent code by code; needs --calibration", feedback<RoundingOrder::descending, 1, 8>,
     "weighted error", "feedback"},
    {"gptq-beam", "the 4 best beginnings of every row kept, then descent: some 4 times the time", feedback<RoundingOrder::descending, 2, 8, 4>, "weighted error",
     "feedback"},
    {"gptq-natural", "the same as gptq from the last column to the first", feedback<RoundingOrder::natural, 1, 8>, "weighted error", "feedback"},
    {"gptq-textbook", "from the last column to the first and nothing else", feedback<RoundingOrder::natural, 1>, "weighted error", "feedback"},
    {"gptq-pivot", "in the order of a pivoted factorization, scales searched twice, and nothing else", feedback<RoundingOrder::pivot, 2>, "weighted error",
     "feedback"},
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

constexpr std::string_view kExpected = "PATTERN = [TRANSFORM[(NUMBER)] |] QUANTIZER/FORMAT [| FORM [| INPUT]]";

// NAME or NAME(NUMBER)
void parse_transform(std::string_view text, std::string_view line, Recipe& recipe) {
  std::string_view name = text.substr(0, text.find('('));
  recipe.rule = &input_transform(trim(name));
  recipe.transform = &transform(recipe.rule->transform);
  recipe.argument = recipe.rule->usual;
  if (name.size() == text.size()) return;
  std::string_view number = text.substr(name.size() + 1);
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), recipe.argument);
  if (error != std::errc{} || std::string_view(end, static_cast<std::size_t>(number.data() + number.size() - end)) != ")" || !recipe.rule->has_argument() ||
      !(recipe.argument >= recipe.rule->low && recipe.argument <= recipe.rule->high))
    fail(Fault::usage, "recipe '{}': '{}': expected {}", line, text,
         recipe.rule->has_argument() ? fmt::format("{}(NUMBER), from {:g} to {:g}", recipe.rule->name, recipe.rule->low, recipe.rule->high)
                                     : fmt::format("{} without a number", recipe.rule->name));
}

Recipe parse_recipe(std::string_view text, std::string_view line) {
  Recipe recipe;
  if (text == "keep") return recipe;
  recipe.keep = false;
  std::string_view rest = text;
  std::string_view rounding = trim(cut(rest, "|"));
  if (rounding.find('/') == rounding.npos) {
    if (trim(rest).empty()) fail(Fault::usage, "recipe '{}': expected {} or PATTERN = keep", line, kExpected);
    parse_transform(rounding, line, recipe);
    rounding = trim(cut(rest, "|"));
  }
  recipe.form = std::string(trim(cut(rest, "|")));
  recipe.input = std::string(trim(cut(rest, "|")));
  if (!trim(rest).empty()) fail(Fault::usage, "recipe '{}': expected {}", line, kExpected);
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
  if (recipe.input.empty()) {
    // Transformed rows have no outliers left, so one scale does for all columns (quality: docs/formats.md).
    const Encoding& of_row = encoding("int8.row");
    recipe.input = (recipe.transform && takes(row, parsed, of_row) ? of_row : usual_input(row, parsed)).name;
  } else if (const Encoding& given = encoding(recipe.input); given.transform) {
    fail(Fault::usage, "recipe '{}': '{}' names a transform; it is the first part of a line: expected {}", line, recipe.input, kExpected);
  } else if (!takes(row, parsed, given)) {
    fail(Fault::usage, "recipe '{}': the form {} does not multiply {} by {}", line, recipe.form, parsed.name, recipe.input);
  }
  recipe.input = transformed(encoding(recipe.input), recipe.transform).name;
  return recipe;
}

}  // namespace

std::string Recipe::text() const {
  if (keep) return "keep";
  std::string before = rule ? fmt::format("{}{} | ", rule->name, rule->has_argument() ? fmt::format("({:g})", argument) : "") : "";
  return fmt::format("{}{}/{} | {} | {}", before, quantizer->name, format, form,
                     encoding(input).plain().name);
}

std::span<const QuantizerRow> quantizers() { return kQuantizers; }

bool RecipeBook::Line::matches(const std::string& matrix) const { return fnmatch(pattern.c_str(), matrix.c_str(), 0) == 0; }

RecipeBook::Line RecipeBook::parse_line(std::string_view line) {
  std::string_view value = line;
  std::string_view pattern = trim(cut(value, "="));
  if (pattern.empty() || trim(value).empty()) fail(Fault::usage, "recipe '{}': expected {}", line, kExpected);
  Line parsed{std::string(pattern), {}, std::string(line), {}};
  // A bracket with a colon or comma holds ranges; others, characters of fnmatch.
  const std::size_t bracket = pattern.rfind('[');
  if (pattern.back() == ']' && bracket != pattern.npos && pattern.find_first_of(":,", bracket) != pattern.npos) {
    auto number = [&](std::string_view digits, i64 otherwise) {
      i64 n = otherwise;
      auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
      if (!digits.empty() && (error != std::errc{} || end != digits.data() + digits.size() || n < 0))
        fail(Fault::usage, "recipe '{}': expected a range of rows [FIRST:END], not '{}'", line, pattern.substr(bracket));
      return n;
    };
    std::string_view list = pattern.substr(bracket + 1, pattern.size() - bracket - 2);
    i64 before = 0;
    while (!list.empty()) {
      std::string_view last = trim(cut(list, ",")), first = last;
      const bool whole = last.find(':') != last.npos;
      if (whole) first = cut(last, ":");
      RowRange range{number(trim(first), 0), kLastRow};
      range.end = whole ? number(trim(last), kLastRow) : range.first + 1;
      if (first.empty() && !whole) fail(Fault::usage, "recipe '{}': expected ranges of rows [FIRST:END,ROW,...], not '{}'", line, pattern.substr(bracket));
      if ((range.end != kLastRow && range.end <= range.first) || range.first < before || (before == kLastRow))
        fail(Fault::usage, "recipe '{}': the range {} holds no row, or rows do not ascend", line, pattern.substr(bracket));
      before = range.end;
      if (range.end == kLastRow && !list.empty()) fail(Fault::usage, "recipe '{}': nothing can follow a range to the last row in {}", line, pattern.substr(bracket));
      parsed.ranges.push_back(range);
    }
    parsed.pattern = trim(pattern.substr(0, bracket));
    if (parsed.pattern.empty()) fail(Fault::usage, "recipe '{}': expected {}", line, kExpected);
  }
  parsed.recipe = parse_recipe(trim(value), line);
  if (!parsed.ranges.empty() && parsed.recipe.keep) fail(Fault::usage, "recipe '{}': only a whole matrix can be kept", line);
  return parsed;
}

RecipeBook::RecipeBook(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = cut(text, "\n;");
    line = trim(cut(line, "#"));
    if (!line.empty()) lines_.push_back(parse_line(line));
  }
  if (lines_.empty()) fail(Fault::usage, "the recipe is empty: expected lines of {}", kExpected);
}

const Recipe& RecipeBook::of(std::string_view matrix) const {
  std::string name(matrix);
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line)
    if (line->ranges.empty() && line->matches(name)) return line->recipe;
  return keep_;
}

std::vector<RecipeSegment> RecipeBook::of(std::string_view matrix, i64 rows) const {
  std::string name(matrix);
  std::vector<RecipeSegment> segments;
  std::vector<const Line*> owner(static_cast<std::size_t>(rows));  // of every row
  const Line* any = nullptr;
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
    if (!line->matches(name)) continue;
    if (line->ranges.empty()) break;
    any = &*line;
    segments.push_back({{}, &line->recipe});
    for (RowRange range : line->ranges) {
      if (range.end == kLastRow) range.end = std::max(rows, range.first + 1);
      if (range.end > rows) fail(Fault::usage, "recipe '{}': '{}' has {} rows, not {}", line->text, matrix, rows, range.end);
      for (i64 r = range.first; r < range.end; r++) {
        const Line*& known = owner[static_cast<std::size_t>(r)];
        if (known) fail(Fault::usage, "recipe '{}': every row of '{}' must be in one range; row {} is in two", line->text, matrix, r);
        known = &*line;
      }
      segments.back().rows.push_back(range);
    }
  }
  if (segments.empty()) return {{{{0, rows}}, &of(matrix)}};
  if (auto missing = std::find(owner.begin(), owner.end(), nullptr); missing != owner.end())
    fail(Fault::usage, "recipe '{}': every row of '{}', which has {}, must be in one range; row {} is in none", any->text, matrix, rows, missing - owner.begin());
  std::sort(segments.begin(), segments.end(), [](const RecipeSegment& a, const RecipeSegment& b) { return a.rows[0].first < b.rows[0].first; });
  return segments;
}

}  // namespace bitkerf
