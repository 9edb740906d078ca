// The grammar of number formats.
#include "formats/number_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/float16.h"

namespace bitkerf {
namespace {

std::string known_formats() {
  std::string list;
  for (const FormatRow& row : number_formats()) list += (list.empty() ? "" : ", ") + std::string(row.name);
  return list;
}

// The next part, up to a dot that no digit follows (those of "a=0.83" belong to the number).
std::string_view next_part(std::string_view& rest) {
  std::size_t end = 0;
  auto digit = [&](std::size_t i) { return i < rest.size() && rest[i] >= '0' && rest[i] <= '9'; };
  while (end < rest.size() && !(rest[end] == '.' && !digit(end + 1))) end++;
  std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), end + 1));
  return part;
}

// "64" or "32x128" after the letter; false when it is neither.
bool read_sizes(std::string_view text, std::span<i64> sizes) {
  const char *p = text.data(), *end = p + text.size();
  for (i64& size : sizes) {
    if (&size != sizes.data() && (p == end || *p++ != 'x')) return false;
    auto [next, error] = std::from_chars(p, end, size);
    if (error != std::errc() || size < 1 || size > 1 << 20) return false;
    p = next;
  }
  return p == end;
}

std::string canonical(const FormatRow& row, std::string_view value, const NumberFormat& f) {
  std::string name(row.name);
  if (!value.empty()) name += fmt::format(":{}={}", row.parameter, value);
  name += fmt::format(".{}.", f.scale->name);
  if (f.group_rows == kWholeTensor) return name + "tensor";
  if (f.group_rows > 1) return name + fmt::format("b{}x{}", f.group_rows, f.group);
  return name + (f.group == kWholeRow ? "row" : fmt::format("g{}", f.group));
}

void set_grid(NumberFormat& format, const FormatRow& row, std::string_view value) {
  bool open = value == "auto";
  format.grid = open || value.empty() ? row.grid() : row.grid_of(value);
  format.open_parameter = open ? row.parameter : std::string_view();
  format.name = canonical(row, value, format);
}

}  // namespace

double NumberFormat::bits_per_weight(i64 cols) const {
  double of_row = static_cast<double>(ceil_div<i64>(cols, grid.dimension()) * grid.bits());
  const int scale_bytes = scale->bytes + (has_minimum ? minimum_type(*scale).bytes : 0);
  of_row += static_cast<double>(groups(cols) * scale_bytes * 8) / static_cast<double>(group_rows);
  if (scale->of_row) of_row += has_minimum ? 32 : 16;
  if (row_tables) of_row += 8 * grid.levels();
  return of_row / static_cast<double>(cols);
}

std::string NumberFormat::label() const {
  std::size_t value = name.find('=');
  if (name.size() <= 40 || value == name.npos) return name;
  return name.substr(0, value + 9) + "..." + name.substr(name.find('.', value));
}

const FormatRow& format_row(const NumberFormat& format) {
  std::string_view grid = std::string_view(format.name).substr(0, format.name.find_first_of(":."));
  for (const FormatRow& row : number_formats())
    if (row.name == grid) return row;
  CHECK(false);
}

NumberFormat parse_number_format(std::string_view spec) {
  std::string_view rest = spec;
  std::string_view value = next_part(rest);
  std::string_view name = value.substr(0, value.find(':'));
  value.remove_prefix(std::min(value.size(), name.size() + 1));
  const FormatRow* row = nullptr;
  for (const FormatRow& r : number_formats())
    if (r.name == name) row = &r;
  if (!row) fail(Fault::usage, "unknown number format '{}' in '{}': expected one of {}", name, spec, known_formats());
  if (!value.empty()) {
    if (row->parameter.empty()) fail(Fault::usage, "number format '{}': {} has no parameter, not '{}'", spec, name, value);
    if (!value.starts_with(fmt::format("{}=", row->parameter)) || value.size() == row->parameter.size() + 1)
      fail(Fault::usage, "number format '{}': expected {}:{}=VALUE or {}:{}=auto, not '{}'", spec, name, row->parameter, name,
           row->parameter, value);
    value.remove_prefix(row->parameter.size() + 1);
  } else {
    value = row->value;
  }
  NumberFormat format{"", Grid::integers(0, 0), row->group, &scale_type(row->scale), row->has_minimum};
  format.row_tables = row->row_tables;
  while (!rest.empty()) {
    std::string_view part = next_part(rest);
    bool sized = part.size() > 1 && part[1] >= '0' && part[1] <= '9';
    if (part == "row" || part == "tensor") {
      format.group = kWholeRow;
      format.group_rows = part == "row" ? 1 : kWholeTensor;
    } else if (sized && part[0] == 'g') {
      format.group_rows = 1;
      if (!read_sizes(part.substr(1), {&format.group, 1}))
        fail(Fault::usage, "'{}' in number format '{}': expected g and a group size from 1 to 1048576", part, spec);
    } else if (sized && part[0] == 'b') {
      i64 sizes[2];
      if (!read_sizes(part.substr(1), sizes))
        fail(Fault::usage, "'{}' in number format '{}': expected bROWSxCOLUMNS, each from 1 to 1048576", part, spec);
      format.group_rows = sizes[0];
      format.group = sizes[1];
    } else {
      format.scale = &scale_type(part);
    }
  }
  if (format.scale->of_row && format.group_rows > 1)
    fail(Fault::usage, "number format '{}': scales of type {} are multiples of one number per row, so rows cannot share them", spec, format.scale->name);
  set_grid(format, *row, value);
  if (format.group % format.grid.dimension() != 0)
    fail(Fault::usage, "number format '{}': a code stands for {} weights, so the group must be a multiple of that", spec,
         format.grid.dimension());
  return format;
}

NumberFormat with_parameter(const NumberFormat& format, std::string_view value) {
  CHECK(!format.open_parameter.empty());
  NumberFormat set = format;
  set_grid(set, format_row(format), value);
  return set;
}

Quantized Quantized::zeros(const NumberFormat& format, Shape shape) {
  i64 groups = format.groups(shape.cols);
  Quantized q{format, {shape.rows, ceil_div<i64>(shape.cols, format.grid.dimension())}, {shape.rows, groups}, {}, 1};
  if (format.has_minimum) q.minima = {shape.rows, groups};
  if (format.row_tables) q.tables = {shape.rows, format.grid.levels()};
  if (format.scale->of_row) q.row_scales = {shape.rows, format.has_minimum ? 2 : 1};
  q.cols = shape.cols;
  return q;
}

namespace {

// The least float16 that is not below v.
float float16_above(float v) {
  const std::uint16_t half = f32_to_f16(std::min(v, 65504.0f));
  return f16_to_f32(f16_to_f32(half) < v && half < 0x7bff ? static_cast<std::uint16_t>(half + 1) : half);
}

// Values of the type: of a type of_row, of multiples of the number that is returned.
float round_all(const ScaleType& type, std::span<float> values) {
  float unit = 1;
  if (type.of_row) {
    float top = 0;
    for (float v : values) top = std::max(top, std::fabs(v));
    unit = float16_above(top / type.round(INFINITY));
  }
  for (float& v : values) v = unit > 0 ? std::copysign(unit * type.round(std::fabs(v / unit)), v) : 0;
  return unit;
}

}  // namespace

void Quantized::round_scales(i64 row) {
  std::span<float> of_scales = scales.view().row_span(row);
  std::vector<float> before(of_scales.begin(), of_scales.end());
  float unit = round_all(*format.scale, of_scales);
  if (format.scale->of_row) row_scales(row, 0) = unit;
  if (!format.has_minimum) return;
  const float middle = tensor_scale * (format.grid.highest() + format.grid.lowest()) / 2;
  for (i64 g = 0; g < scales.cols(); g++) minima(row, g) += (before[static_cast<std::size_t>(g)] - scales(row, g)) * middle;
  const ScaleType& type = minimum_type(*format.scale);
  unit = round_all(type, minima.view().row_span(row));
  if (type.of_row) row_scales(row, 1) = unit;
}

}  // namespace bitkerf
