#include "compress/report/measured.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace bitkerf {
namespace {

std::vector<std::string> cut(std::string_view text, char mark) {
  std::vector<std::string> pieces;
  for (;;) {
    std::size_t end = text.find(mark);
    pieces.emplace_back(text.substr(0, end));
    if (end == text.npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

// A finite number that is at least `low`.
double number(const std::string& where, const std::string& column, const std::string& text, double low) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < low)
    fail(Fault::file, "{}: column {}: expected a number of at least {:g}, not '{}'", where, column, low, text);
  return value;
}

}  // namespace

MeasuredSeries parse_measured(const std::string& path, std::string_view text) {
  MeasuredSeries series;
  std::vector<std::string> columns;
  double source = 0;  // its perplexity
  int line_number = 0;
  for (std::string& line : cut(text, '\n')) {
    line_number++;
    const std::string where = path + ":" + std::to_string(line_number);
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    std::vector<std::string> values = cut(line, ',');
    if (columns.empty()) {
      columns = values;
      auto has = [&](const char* name) { return std::find(columns.begin(), columns.end(), name) != columns.end(); };
      series.from_perplexity = !has("divergence");
      if (!(has("name") || has("type")) || !has("MiB") || (series.from_perplexity && !has("perplexity")))
        fail(Fault::file, "{}: expected the names of columns: name, MiB, and divergence or perplexity", where);
      continue;
    }
    if (values.size() != columns.size())
      fail(Fault::file, "{}: has {} values, expected {}", where, values.size(), columns.size());
    MeasuredFile file;
    double perplexity = 0;
    for (std::size_t i = 0; i < columns.size(); i++) {
      const std::string &name = columns[i], &value = values[i];
      if (name == "name" || name == "type") file.name = value;
      if (name == "MiB") file.mib = number(where, name, value, 0);
      if (name == "divergence") file.divergence = number(where, name, value, 0);
      if (name == "predicted" && !value.empty()) file.predicted = number(where, name, value, 0);
      if (name == "perplexity" && series.from_perplexity) perplexity = number(where, name, value, 1);
    }
    if (series.from_perplexity && file.name == "source") {
      source = perplexity;
      continue;
    }
    if (series.from_perplexity) file.divergence = perplexity;
    series.files.push_back(file);
  }
  if (columns.empty()) fail(Fault::file, "{}: is empty, expected the names of columns in its first line", path);
  if (series.from_perplexity && source == 0)
    fail(Fault::file, "{}: has no row 'source', which perplexities are compared with", path);
  if (series.from_perplexity)
    for (MeasuredFile& file : series.files) file.divergence = std::log(file.divergence / source);
  return series;
}

}  // namespace bitkerf
