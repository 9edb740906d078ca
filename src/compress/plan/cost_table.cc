#include "compress/plan/cost_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "core/error.h"

namespace bitkerf {
namespace {

std::vector<std::string_view> cells(std::string_view line) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t comma = line.find(',');
    parts.push_back(line.substr(0, comma));
    if (comma == line.npos) return parts;
    line.remove_prefix(comma + 1);
  }
}

template <class T>
T number(std::string_view text, i64 line) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(static_cast<double>(value) >= 0) || !std::isfinite(static_cast<double>(value)))
    fail(Fault::file, "line {}: expected a number that is not negative, not '{}'", line, text);
  return value;
}

// The columns that are read again.
struct Column {
  std::string_view name;
  std::string (*get)(const TimedWork&);
  void (*set)(TimedWork&, std::string_view, i64 line);
};
#define BITKERF_TEXT(field) \
  {#field, [](const TimedWork& t) { return t.work.field; }, [](TimedWork& t, std::string_view s, i64) { t.work.field = s; }}
#define BITKERF_COUNT(field) \
  {#field, [](const TimedWork& t) { return fmt::format("{}", static_cast<i64>(t.work.field)); }, \
   [](TimedWork& t, std::string_view s, i64 line) { t.work.field = static_cast<decltype(t.work.field)>(number<i64>(s, line)); }}
constexpr Column kColumns[] = {
    BITKERF_TEXT(kernel), BITKERF_TEXT(format), BITKERF_TEXT(activation),
    BITKERF_COUNT(weight_bits), BITKERF_COUNT(weight_group), BITKERF_COUNT(has_minimum),
    BITKERF_COUNT(activation_bits), BITKERF_COUNT(activation_group), BITKERF_COUNT(tile_tokens),
    BITKERF_COUNT(rows), BITKERF_COUNT(cols), BITKERF_COUNT(tokens), BITKERF_COUNT(threads), BITKERF_COUNT(cold), BITKERF_COUNT(bytes),
    {"seconds", [](const TimedWork& t) { return fmt::format("{:.4e}", t.seconds); },
     [](TimedWork& t, std::string_view s, i64 line) { t.seconds = number<double>(s, line); }},
    {"seconds_bound", [](const TimedWork& t) { return fmt::format("{:.4e}", t.bound); },
     [](TimedWork& t, std::string_view s, i64 line) { t.bound = number<double>(s, line); }},
};
constexpr std::size_t kIdentity = std::size(kColumns) - 2;  // columns before the times
#undef BITKERF_TEXT
#undef BITKERF_COUNT

}  // namespace

std::string to_csv(std::span<const TimedWork> rows, const Probe& probe) {
  std::string text;
  for (const Column& column : kColumns) text += fmt::format("{}{}", text.empty() ? "" : ",", column.name);
  for (std::string_view name : kCostFeatures) text += fmt::format(",f_{}", name);
  text += "\n";
  if (rows.empty()) return text;
  // Only its kernels' numbers matter here.
  Threads one(1);
  CostModel model = CostModel::train(rows, probe, {.trees = 1, .depth = 0}, one);
  std::vector<Work> works;
  for (const TimedWork& row : rows) works.push_back(row.work);
  OwnedMatrix<float> features = model.features(works);
  for (std::size_t i = 0; i < rows.size(); i++) {
    TimedWork row = rows[i];
    if (row.bound == 0) row.bound = roofline_seconds(row.work, probe);
    for (std::size_t c = 0; c < std::size(kColumns); c++) text += (c ? "," : "") + kColumns[c].get(row);
    for (i64 f = 0; f < features.cols(); f++) text += fmt::format(",{:.6g}", features(static_cast<i64>(i), f));
    text += "\n";
  }
  return text;
}

std::vector<TimedWork> from_csv(const std::string& text) {
  std::vector<TimedWork> rows;
  std::vector<std::size_t> places;  // of each of kColumns
  std::string_view rest = text, header;
  for (i64 line = 1; !rest.empty(); line++) {
    std::string_view here = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), here.size() + 1));
    if (here.empty() || here == header) continue;
    std::vector<std::string_view> parts = cells(here);
    if (header.empty()) {
      header = here;
      for (const Column& column : kColumns) {
        auto found = std::find(parts.begin(), parts.end(), column.name);
        if (found == parts.end()) fail(Fault::file, "line 1: there is no column '{}'", column.name);
        places.push_back(static_cast<std::size_t>(found - parts.begin()));
      }
      continue;
    }
    TimedWork& row = rows.emplace_back();
    for (std::size_t c = 0; c < std::size(kColumns); c++) {
      if (places[c] >= parts.size()) fail(Fault::file, "line {}: {} cells, expected more than {}", line, parts.size(), places[c]);
      kColumns[c].set(row, parts[places[c]], line);
    }
    const Work& w = row.work;
    if (w.rows < 1 || w.cols < 1 || w.tokens < 1 || w.threads < 1 || w.tile_tokens < 1 || !(row.seconds > 0))
      fail(Fault::file, "line {}: a shape, threads, tile or time of zero", line);
  }
  return rows;
}

std::vector<TimedWork> settle(std::span<const TimedWork> rows, const Probe& probe) {
  std::vector<TimedWork> settled;
  std::unordered_map<std::string, std::size_t> places;  // of what was timed
  for (TimedWork row : rows) {
    double bound = roofline_seconds(row.work, probe);
    if (row.bound > 0) row.seconds *= bound / row.bound;
    row.bound = bound;
    std::string key;
    for (std::size_t c = 0; c < kIdentity; c++) key += kColumns[c].get(row) + ",";
    auto [at, fresh] = places.emplace(std::move(key), settled.size());
    if (fresh) settled.push_back(std::move(row));
    else settled[at->second].seconds = std::min(settled[at->second].seconds, row.seconds);
  }
  return settled;
}

}  // namespace bitkerf
