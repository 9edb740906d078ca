#include "files/packed_tensors.h"

#include <cmath>

#include "core/checked.h"
#include "core/error.h"

namespace bitkerf {
namespace {

std::string key(std::string_view part) { return fmt::format("bitkerf.packed.{}", part); }

struct TextColumn {
  std::string_view name;
  std::string PackedTensor::*field;
};
constexpr TextColumn kTexts[] = {{"tensor", &PackedTensor::tensor}, {"matrix", &PackedTensor::matrix},
                                 {"form", &PackedTensor::form}, {"format", &PackedTensor::format},
                                 {"input", &PackedTensor::input}};

// That may be left out.
constexpr TextColumn kMoreTexts[] = {{"recipe", &PackedTensor::recipe}, {"transform", &PackedTensor::transform}, {"scattered", &PackedTensor::scattered}};

struct NumberColumn {
  std::string_view name;
  i64 (*get)(const PackedTensor&);
  void (*set)(PackedTensor&, i64);
  i64 low;
};
constexpr NumberColumn kNumbers[] = {
    {"rows", [](const PackedTensor& t) { return t.shape.rows; }, [](PackedTensor& t, i64 v) { t.shape.rows = v; }, 1},
    {"cols", [](const PackedTensor& t) { return t.shape.cols; }, [](PackedTensor& t, i64 v) { t.shape.cols = v; }, 1},
    {"first", [](const PackedTensor& t) { return t.first; }, [](PackedTensor& t, i64 v) { t.first = v; }, 0},
    {"total", [](const PackedTensor& t) { return t.total; }, [](PackedTensor& t, i64 v) { t.total = v; }, 1},
};
constexpr i64 kLargest = i64{1} << 31;  // rows or columns: their products cannot wrap 64 bits

}  // namespace

std::vector<PackedTensor> read_packed_tensors(const Metadata& metadata) {
  const std::vector<std::string>* names = metadata.texts(key("tensor"));
  if (!names) return {};
  std::vector<PackedTensor> tensors(names->size());
  auto same_length = [&](std::string_view part, std::size_t length) {
    if (length != tensors.size())
      fail(Fault::file, "{}: {} has {} entries; expected {}, as {} has", metadata.where(), key(part), length, tensors.size(), key("tensor"));
  };
  for (const TextColumn& column : kTexts) {
    const std::vector<std::string>* values = metadata.texts(key(column.name));
    same_length(column.name, values ? values->size() : 0);
    for (std::size_t i = 0; i < tensors.size(); i++) tensors[i].*column.field = (*values)[i];
  }
  for (const NumberColumn& column : kNumbers) {
    std::vector<i64> values = metadata.integers(key(column.name)).value_or(std::vector<i64>{});
    same_length(column.name, values.size());
    for (std::size_t i = 0; i < tensors.size(); i++) {
      if (values[i] < column.low || values[i] > kLargest)
        fail(Fault::file, "{}: {}[{}] is {}; expected {} to {}", metadata.where(), key(column.name), i, values[i], column.low, kLargest);
      column.set(tensors[i], values[i]);
    }
  }
  for (const TextColumn& column : kMoreTexts) {
    const std::vector<std::string>* values = metadata.texts(key(column.name));
    if (!values) continue;
    same_length(column.name, values->size());
    for (std::size_t i = 0; i < tensors.size(); i++) tensors[i].*column.field = (*values)[i];
  }
  std::vector<double> scales = metadata.numbers(key("scale")).value_or(std::vector<double>{});
  same_length("scale", scales.size());
  for (std::size_t i = 0; i < tensors.size(); i++) {
    if (!(scales[i] > 0) || !std::isfinite(scales[i]))
      fail(Fault::file, "{}: {}[{}] is {}; expected a positive number", metadata.where(), key("scale"), i, scales[i]);
    tensors[i].scale = static_cast<float>(scales[i]);
    if (tensors[i].first + tensors[i].shape.rows > tensors[i].total)
      fail(Fault::file, "{}: '{}' is rows {} to {} of a matrix of {}", metadata.where(), tensors[i].tensor, tensors[i].first,
           tensors[i].first + tensors[i].shape.rows, tensors[i].total);
  }
  return tensors;
}

void set_packed_tensors(std::span<const PackedTensor> tensors, Metadata& metadata) {
  for (const TextColumn& column : kTexts) {
    std::vector<std::string> values;
    for (const PackedTensor& t : tensors) values.push_back(t.*column.field);
    metadata.set(key(column.name), MetadataArray(std::move(values)));
  }
  for (const NumberColumn& column : kNumbers) {
    std::vector<std::uint64_t> values;
    for (const PackedTensor& t : tensors) values.push_back(static_cast<std::uint64_t>(column.get(t)));
    metadata.set(key(column.name), MetadataArray(std::move(values)));
  }
  for (const TextColumn& column : kMoreTexts) {
    std::vector<std::string> values;
    bool any = column.field == &PackedTensor::recipe;
    for (const PackedTensor& t : tensors) {
      values.push_back(t.*column.field);
      any |= !values.back().empty();
    }
    if (any) metadata.set(key(column.name), MetadataArray(std::move(values)));
  }
  std::vector<float> scales;
  for (const PackedTensor& t : tensors) scales.push_back(t.scale);
  metadata.set(key("scale"), MetadataArray(std::move(scales)));
}

}  // namespace bitkerf
