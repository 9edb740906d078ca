#include "compress/calibration/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>

#include "core/error.h"
#include "core/printable.h"
#include "files/mapped_file.h"

namespace bitkerf {
namespace {

constexpr i64 kMostCols = i64{1} << 20;
constexpr double kMostTokens = 1e15;

using TensorMap = std::map<std::string_view, const Tensor*>;

// A vector of floats by full name, finite and of the length asked for (0: any).
std::vector<float> floats(const std::string& where, const TensorMap& tensors, std::string_view name, i64 count = 0) {
  auto found = tensors.find(name);
  if (found == tensors.end()) return {};
  const Tensor& t = *found->second;
  if (t.type->name != "F32") fail(Fault::file, "{}: '{}' is stored as {}; expected F32", where, printable(name), t.type->name);
  if (count > 0 && t.weights() != count)
    fail(Fault::file, "{}: '{}' has {} numbers; expected {}", where, printable(name), t.weights(), count);
  std::vector<float> values(static_cast<std::size_t>(t.weights()));
  t.type->dequantize(t.data, t.weights(), values.data());
  for (float v : values)
    if (!std::isfinite(v)) fail(Fault::file, "{}: '{}' holds {}", where, printable(name), v);
  return values;
}

OwnedMatrix<float> row_of(std::span<const float> values) {
  OwnedMatrix<float> row(1, static_cast<i64>(values.size()));
  std::copy(values.begin(), values.end(), row.view().data);
  return row;
}

OwnedMatrix<float> from_triangle(const std::string& where, std::string_view name, std::span<const float> upper) {
  i64 count = static_cast<i64>(upper.size());
  i64 cols = static_cast<i64>((std::sqrt(8.0 * static_cast<double>(count) + 1) - 1) / 2 + 0.5);
  if (cols < 1 || cols > kMostCols || cols * (cols + 1) / 2 != count)
    fail(Fault::file, "{}: '{}' has {} numbers; expected a triangle", where, printable(name), count);
  OwnedMatrix<float> m(cols, cols);
  const float* v = upper.data();
  for (i64 r = 0; r < cols; r++)
    for (i64 c = r; c < cols; c++) m(r, c) = m(c, r) = *v++;
  return m;
}

InputStatistics read_input(const std::string& where, const TensorMap& tensors, const std::string& name, i64 tokens) {
  InputStatistics s;
  s.tokens = tokens;
  if (std::vector<float> upper = floats(where, tensors, name + ".moment"); !upper.empty()) {
    s.moment = from_triangle(where, name + ".moment", upper);
  } else if (std::vector<float> squares = floats(where, tensors, name + ".squares"); !squares.empty()) {
    s.moment = row_of(squares);
  } else {
    fail(Fault::file, "{}: has neither '{}.moment' nor '{}.squares'", where, printable(name), printable(name));
  }
  for (i64 c = 0; c < s.cols(); c++)
    if (s.square(c) < 0) fail(Fault::file, "{}: '{}' has a mean square of {}", where, printable(name), s.square(c));
  s.mean = floats(where, tensors, name + ".mean", s.cols());
  s.largest = floats(where, tensors, name + ".largest", s.cols());
  return s;
}

bool cut_end(std::string& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.resize(text.size() - end.size());
  return true;
}

void read_own(const std::string& where, const Metadata& metadata, const TensorMap& tensors, Statistics& out) {
  const std::vector<std::string>* matrices = metadata.texts("bitkerf.statistics.matrix");
  const std::vector<std::string>* inputs = metadata.texts("bitkerf.statistics.input");
  std::optional<std::vector<i64>> tokens = metadata.integers("bitkerf.statistics.tokens");
  std::size_t count = matrices ? matrices->size() : 0;
  if ((inputs ? inputs->size() : 0) != count || (tokens ? tokens->size() : 0) != count)
    fail(Fault::file, "{}: bitkerf.statistics.matrix, .input and .tokens differ in length", where);
  std::map<std::string, std::shared_ptr<const InputStatistics>, std::less<>> known;
  for (std::size_t i = 0; i < count; i++) {
    std::shared_ptr<const InputStatistics>& input = known[(*inputs)[i]];
    if ((*tokens)[i] < 1) fail(Fault::file, "{}: statistics of {} tokens", where, (*tokens)[i]);
    if (!input) input = std::make_shared<InputStatistics>(read_input(where, tensors, (*inputs)[i], (*tokens)[i]));
    out.inputs[(*matrices)[i]] = input;
  }
  for (const auto& [name, tensor] : tensors) {
    std::string matrix(name);
    if (cut_end(matrix, ".gradient")) out.gradient[matrix] = floats(where, tensors, name);
    if (matrix = name; !cut_end(matrix, ".weighed")) continue;
    const InputStatistics* plain = out.input_of(matrix);
    auto weighed = std::make_shared<InputStatistics>();
    weighed->moment = from_triangle(where, name, floats(where, tensors, name));
    if (!plain || plain->cols() != weighed->cols()) fail(Fault::file, "{}: '{}' is of other columns than the matrix's input", where, printable(name));
    weighed->tokens = plain->tokens;
    for (i64 c = 0; c < weighed->cols(); c++)
      if (weighed->square(c) < 0) fail(Fault::file, "{}: '{}' has a mean square of {}", where, printable(name), weighed->square(c));
    out.weighed[matrix] = std::move(weighed);
  }
  out.origin = metadata.text("bitkerf.statistics.origin", "");
  out.windows = metadata.integer("bitkerf.statistics.windows", 0, i64{1} << 40, 0);
}

// llama.cpp: "blk.0.attn_q.weight.in_sum2" (cols, experts) and ".counts" (1, experts). Experts are added up.
void read_imatrix(const std::string& where, const Metadata& metadata, const TensorMap& tensors, Statistics& out) {
  for (const auto& [full_name, tensor] : tensors) {
    std::string name(full_name);
    if (!cut_end(name, ".in_sum2")) continue;
    std::vector<float> counts = floats(where, tensors, name + ".counts");
    std::vector<float> sums = floats(where, tensors, full_name);
    i64 experts = static_cast<i64>(counts.size());
    if (experts < 1 || tensor->rows() != experts)
      fail(Fault::file, "{}: '{}' has {} rows, '{}.counts' {} numbers", where, printable(full_name), tensor->rows(), printable(name), experts);
    double count = 0;
    for (float c : counts) {
      if (c < 0 || c > kMostTokens) fail(Fault::file, "{}: '{}.counts' holds {}", where, printable(name), c);
      count += c;
    }
    i64 cols = tensor->cols();
    auto s = std::make_shared<InputStatistics>();
    s->tokens = static_cast<i64>(std::max(1.0, count));
    s->moment = OwnedMatrix<float>(1, cols);
    for (i64 c = 0; c < cols; c++) {
      double sum = 0;
      for (i64 e = 0; e < experts; e++) sum += sums[static_cast<std::size_t>(e * cols + c)];
      if (sum < 0) fail(Fault::file, "{}: '{}' holds a sum of squares of {}", where, printable(full_name), sum);
      s->moment(0, c) = static_cast<float>(sum / std::max(1.0, count));
    }
    cut_end(name, ".weight");
    out.inputs[name] = std::move(s);
  }
  out.windows = metadata.integer("imatrix.chunk_count", 0, i64{1} << 40, 0);
  out.origin = "imatrix";
  if (const std::vector<std::string>* texts = metadata.texts("imatrix.datasets"))
    for (const std::string& text : *texts) out.origin += " " + text;
}

}  // namespace

const InputStatistics* Statistics::input_of(std::string_view name) const {
  auto found = inputs.find(name);
  return found == inputs.end() ? nullptr : found->second.get();
}

const InputStatistics* Statistics::rounding_input_of(std::string_view name) const {
  auto found = weighed.find(name);
  return found == weighed.end() ? input_of(name) : found->second.get();
}

void save_statistics(const std::string& path, const Statistics& statistics) {
  Metadata metadata(path);
  std::vector<Tensor> tensors;
  std::deque<std::vector<float>> triangles;
  std::vector<std::string> matrices, inputs;
  std::vector<std::uint64_t> tokens;
  std::map<const InputStatistics*, std::string> names;
  auto add = [&](const std::string& name, std::span<const float> values) {
    if (values.empty()) return;
    tensors.push_back({name, stored_type("F32"), {static_cast<i64>(values.size())}, reinterpret_cast<const std::byte*>(values.data()),
                       static_cast<i64>(values.size_bytes())});
  };
  auto add_triangle = [&](const std::string& name, Matrix<const float> moment) {
    std::vector<float>& upper = triangles.emplace_back();
    upper.reserve(static_cast<std::size_t>(moment.cols * (moment.cols + 1) / 2));
    for (i64 r = 0; r < moment.rows; r++) upper.insert(upper.end(), moment.row(r) + r, moment.row(r) + moment.cols);
    add(name, upper);
  };
  for (const auto& [matrix, input] : statistics.inputs) {
    auto [place, fresh] = names.emplace(input.get(), matrix);
    const std::string& name = place->second;
    matrices.push_back(matrix);
    inputs.push_back(name);
    tokens.push_back(static_cast<std::uint64_t>(input->tokens));
    if (!fresh) continue;
    Matrix<const float> moment = input->moment.view();
    if (moment.rows == 1) add(name + ".squares", moment.row_span(0));
    else add_triangle(name + ".moment", moment);
    add(name + ".mean", input->mean);
    add(name + ".largest", input->largest);
  }
  for (const auto& [matrix, input] : statistics.weighed) add_triangle(matrix + ".weighed", input->moment.view());
  for (const auto& [matrix, squares] : statistics.gradient) add(matrix + ".gradient", squares);
  metadata.set("general.type", std::string("statistics"));
  metadata.set("bitkerf.statistics.matrix", MetadataArray(matrices));
  metadata.set("bitkerf.statistics.input", MetadataArray(inputs));
  metadata.set("bitkerf.statistics.tokens", MetadataArray(tokens));
  metadata.set("bitkerf.statistics.origin", statistics.origin);
  metadata.set("bitkerf.statistics.windows", static_cast<std::uint64_t>(statistics.windows));
  write_gguf(path, metadata, tensors);
}

Statistics read_statistics(const std::string& where, const Metadata& metadata, std::span<const Tensor> tensors) {
  TensorMap by_name;
  for (const Tensor& tensor : tensors) by_name[tensor.name] = &tensor;
  Statistics statistics;
  if (metadata.has("bitkerf.statistics.matrix")) {
    read_own(where, metadata, by_name, statistics);
  } else if (metadata.text("general.type", "") == "imatrix") {
    read_imatrix(where, metadata, by_name, statistics);
  } else {
    fail(Fault::file, "{}: holds no statistics; expected what `bitkerf calibrate` or llama-imatrix writes", where);
  }
  return statistics;
}

// entries i32, then each: name (i32 length, bytes), calls i32, count i32, count x f32: mean squares times calls.
Statistics parse_old_imatrix(const std::string& where, std::span<const std::byte> bytes) {
  std::size_t at = 0;
  auto take = [&](i64 count) {
    if (count < 0 || static_cast<std::uint64_t>(count) > bytes.size() - at)
      fail(Fault::file, "{}: neither GGUF nor an imatrix, or cut off at byte {}", where, at);
    const std::byte* p = bytes.data() + at;
    at += static_cast<std::size_t>(count);
    return p;
  };
  auto number = [&] {
    std::int32_t n;
    std::memcpy(&n, take(4), 4);
    return i64{n};
  };
  Statistics statistics;
  statistics.origin = "imatrix";
  i64 entries = number();
  if (entries < 1) fail(Fault::file, "{}: neither GGUF nor an imatrix: {} entries", where, entries);
  for (i64 i = 0; i < entries; i++) {
    i64 length = number();
    std::string name(reinterpret_cast<const char*>(take(length)), static_cast<std::size_t>(length));
    i64 calls = number(), cols = number();
    if (cols < 1 || cols > kMostCols) fail(Fault::file, "{}: '{}' has {} columns", where, printable(name), cols);
    const std::byte* values = take(4 * cols);
    auto s = std::make_shared<InputStatistics>();
    s->tokens = std::max<i64>(1, calls);
    s->moment = OwnedMatrix<float>(1, cols);
    std::memcpy(s->moment.view().data, values, static_cast<std::size_t>(4 * cols));
    for (float& v : std::span(s->moment.view().data, static_cast<std::size_t>(cols))) {
      if (!std::isfinite(v) || v < 0) fail(Fault::file, "{}: '{}' holds a mean square of {}", where, printable(name), v);
      if (calls > 0) v /= static_cast<float>(calls);
    }
    cut_end(name, ".weight");
    statistics.inputs[name] = std::move(s);
  }
  return statistics;
}

Statistics load_statistics(const std::string& path) {
  MappedFile file(path);
  std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) return parse_old_imatrix(path, bytes);
  Gguf gguf = parse_gguf(path, bytes);
  return read_statistics(path, gguf.metadata, gguf.tensors);
}

}  // namespace bitkerf
