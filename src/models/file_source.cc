#include "models/file_source.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/printable.h"
#include "forms/list.h"
#include "models/packed_part.h"

namespace bitkerf {
namespace {

// As people write shapes of matrices; a vector is (n).
std::string shape_of(const Tensor& tensor) {
  std::string text;
  for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", *size);
  }
  return "(" + text + ")";
}

}  // namespace

const Tensor& FileSource::tensor(std::string_view full_name) const {
  const Tensor* tensor = file_.find(full_name);
  if (!tensor) fail(Fault::file, "{}: has no tensor '{}', which the architecture needs", file_.path(), full_name);
  return *tensor;
}

bool FileSource::has(std::string_view full_name) const { return file_.find(full_name) != nullptr || packed(full_name) != nullptr; }

const PackedTensor* FileSource::packed(std::string_view matrix) const {
  for (const PackedTensor& entry : packed_)
    if (entry.matrix == matrix) return &entry;
  return nullptr;
}

bool FileSource::stays_mapped(const Tensor& tensor) const {
  for (const PackedTensor& entry : packed_)
    if (entry.tensor == tensor.name) return true;
  return false;
}

// Row orders were applied when the matrix was packed.
std::unique_ptr<Linear> FileSource::open_packed(std::string_view matrix, Shape shape, const Rows& rows) {
  const i64 total = rows.total > 0 ? rows.total : shape.rows, end = rows.first + shape.rows;
  std::vector<const PackedTensor*> entries;
  for (const PackedTensor& entry : packed_)
    if (entry.matrix == matrix && entry.first >= rows.first && entry.first < end) entries.push_back(&entry);
  std::stable_sort(entries.begin(), entries.end(), [](const PackedTensor* a, const PackedTensor* b) { return a->first < b->first; });
  // Parts one below the other; those of the same rows are columns of one.
  std::vector<std::vector<std::unique_ptr<Linear>>> parts;
  std::vector<std::int32_t> order, last;
  bool scattered = false;
  for (const PackedTensor* entry : entries) {
    // Before its rows are listed: no more than the matrix has.
    const bool fits = entry->shape.cols == shape.cols && entry->total == total && entry->shape.rows <= shape.rows;
    std::vector<std::int32_t> own = fits ? rows_of(file_, *entry) : std::vector<std::int32_t>();
    if (!fits || own.back() >= end)
      fail(Fault::file, "{}: packed matrix '{}' is ({}, {}) of {} rows from row {}; expected at most ({}, {}) of {} from row {}", file_.path(),
           entry->tensor, entry->shape.rows, entry->shape.cols, entry->total, entry->first, shape.rows, shape.cols, total, rows.first);
    const bool columns = !entry->transform.empty() && own == last;
    if (!columns) {
      parts.emplace_back();
      scattered |= !entry->scattered.empty();
      for (std::int32_t row : own) order.push_back(row - static_cast<std::int32_t>(rows.first));
    }
    parts.back().push_back(open_part(*entry));
    last = std::move(own);
  }
  std::vector<bool> there(static_cast<std::size_t>(shape.rows));
  for (std::int32_t row : order) {
    if (there[static_cast<std::size_t>(row)]) fail(Fault::file, "{}: row {} of '{}' is packed twice", file_.path(), row + rows.first, matrix);
    there[static_cast<std::size_t>(row)] = true;
  }
  if (auto missing = std::find(there.begin(), there.end(), false); missing != there.end())
    fail(Fault::file, "{}: has no packed rows from {} of '{}', which the architecture needs", file_.path(), rows.first + (missing - there.begin()), matrix);
  std::vector<std::unique_ptr<Linear>> stacked;
  for (auto& columns : parts) stacked.push_back(columns.size() == 1 ? std::move(columns[0]) : add_columns(std::move(columns)));
  if (!scattered) order.clear();
  return stacked.size() == 1 && !scattered ? std::move(stacked[0]) : stack_rows(std::move(stacked), std::move(order));
}

std::unique_ptr<PackedLinear> FileSource::open_part(const PackedTensor& entry) {
  std::unique_ptr<PackedLinear> linear = open_packed_tensor(file_, entry, read_bits_);
  for (const std::string& name : {entry.tensor, entry.transform, entry.scattered})
    if (!name.empty() && !used_.contains(name)) done(tensor(name), tensor(name).bytes);
  if (refinement_) linear = make_refined(std::move(linear), entry.matrix.substr(0, entry.matrix.rfind('.')), *refinement_, threads_);
  return linear;
}

Shape FileSource::shape(std::string_view full_name) const {
  if (const PackedTensor* entry = packed(full_name)) return {entry->total, entry->shape.cols};
  const Tensor& t = tensor(full_name);
  return {t.rows(), t.cols()};
}

void FileSource::done(const Tensor& tensor, i64 bytes) {
  used_.emplace(tensor.name);
  bytes_done_ += bytes;
  if (progress_) progress_(bytes_done_, std::max(bytes_done_, file_.file_bytes()));
}

std::unique_ptr<Linear> FileSource::linear(std::string_view name, Shape shape, const Rows& rows) {
  std::string full_name = std::string(name) + ".weight";
  if (packed(full_name)) return open_packed(full_name, shape, rows);
  const Tensor& t = tensor(full_name);
  i64 total = rows.total > 0 ? rows.total : shape.rows;
  if (t.shape.size() > 2 || t.cols() != shape.cols || t.rows() != total) {
    fail(Fault::file, "{}: tensor '{}' has the shape {}; expected ({}, {})", file_.path(), full_name, shape_of(t),
         total, shape.cols);
  }
  CHECK(rows.first >= 0 && rows.first + shape.rows <= total);
  if (shape.cols % t.type->block != 0) {
    fail(Fault::file, "{}: tensor '{}' has rows of {} weights; {} wants a multiple of {}", file_.path(), full_name,
         shape.cols, t.type->name, t.type->block);
  }
  i64 row_bytes = t.type->bytes(shape.cols);
  const std::byte* data = t.data + rows.first * row_bytes;

  std::atomic<bool> finite{true};
  i64 blocks_per_row = shape.cols / t.type->block;
  threads_.split(shape.rows, [&](i64 first, i64 last) {
    if (!stored_is_finite(*t.type, data + first * row_bytes, (last - first) * blocks_per_row)) finite.store(false);
  });
  if (!finite.load())
    fail(Fault::file, "{}: tensor '{}' holds weights or scales that are Inf or not a number", file_.path(), full_name);

  Buffer<std::byte> ordered;
  if (!rows.order.empty()) {
    CHECK_EQ(static_cast<i64>(rows.order.size()), shape.rows);
    ordered = Buffer<std::byte>(shape.rows * row_bytes, false);
    for (i64 i = 0; i < shape.rows; i++) {
      std::memcpy(ordered.data() + i * row_bytes, data + rows.order[static_cast<std::size_t>(i)] * row_bytes,
                  static_cast<std::size_t>(row_bytes));
    }
  }
  StoredMatrix matrix{t.type, rows.order.empty() ? data : ordered.data(), shape};
  std::unique_ptr<Linear> linear = make_linear(matrix, form_, threads_);
  if (refinement_ && dynamic_cast<PackedLinear*>(linear.get()))
    linear = make_refined(std::unique_ptr<PackedLinear>(static_cast<PackedLinear*>(linear.release())), name, *refinement_, threads_);
  file_.release(data, shape.rows * row_bytes);
  done(t, shape.rows * row_bytes);
  return linear;
}

Buffer<float> FileSource::vector(std::string_view full_name, i64 n) {
  const Tensor& t = tensor(full_name);
  if (t.weights() != n || t.cols() != n) {
    fail(Fault::file, "{}: tensor '{}' has the shape {}; expected ({})", file_.path(), full_name, shape_of(t), n);
  }
  if (n % t.type->block != 0)
    fail(Fault::file, "{}: vector '{}' is stored as {}", file_.path(), full_name, t.type->name);
  Buffer<float> values(n);
  t.type->dequantize(t.data, n / t.type->block, values.data());
  for (float value : values.span()) {
    if (!std::isfinite(value)) fail(Fault::file, "{}: tensor '{}' holds {}", file_.path(), full_name, value);
  }
  done(t, t.bytes);
  return values;
}

void FileSource::check_all_used() const {
  for (const Tensor& tensor : file_.tensors()) {
    if (!used_.contains(tensor.name)) {
      fail(Fault::file, "{}: has a tensor '{}', which the architecture does not know", file_.path(),
           printable(tensor.name));
    }
  }
}

}  // namespace bitkerf
