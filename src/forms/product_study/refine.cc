#include "forms/product_study/refine.h"

#include <fnmatch.h>

#include <bit>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "core/error.h"
#include "forms/product_study/refine_kernels.h"

namespace bitkerf {
namespace {

const RefineKernels& kernels_of(Isa isa) {
  static constexpr decltype(&refine_kernels_portable) kTables[] = {refine_kernels_portable, refine_kernels_avx2, refine_kernels_avx512};  // by Isa
  return kTables[static_cast<int>(isa)]();
}

class Refined final : public PackedLinear {
 public:
  // isa: whose kernels unpack; tiles are the same on all.
  Refined(std::unique_ptr<PackedLinear> matrix, RefineView view, RefinedMatrix& counts, Isa isa, Threads& threads)
      : PackedLinear(matrix->shape(), view.panel_bytes, matrix->input(), matrix->packed_bytes().data()),
        matrix_(std::move(matrix)), view_(view), norms_(std::max<i64>(matrix_->panels() * view.units, 1)) {
    view_.norms = norms_.data();
    view_.threshold = static_cast<float>(counts.threshold);
    view_.blocks = &counts.blocks, view_.refined = &counts.refined;
    view_.sizes = counts.sizes.empty() ? nullptr : counts.sizes.data();
    const i64 cols = round_up<i64>(shape().cols, 32);
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) kernels_of(isa).norms(view_, panel(p), cols, norms_.data() + p * view_.units);
    });
  }
  KernelList kernels(Isa isa) const override { return kernels_of(isa).kernels; }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("{}, low parts above {:g}", matrix_->describe(), view_.threshold); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override { matrix_->expand_stored(first, out); }

 private:
  std::unique_ptr<PackedLinear> matrix_;
  RefineView view_;
  Buffer<float> norms_;
};

double threshold_of(std::string_view text, std::string_view line) {
  double value = 0;
  while (text.ends_with(' ') || text.ends_with('\r')) text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty() || !(value >= 0))
    fail(Fault::usage, "refinement '{}': '{}' is no threshold: expected a number from 0 (all low parts) to inf (none)", line, text);
  return value;
}

}  // namespace

float size_of_class(std::size_t i) { return std::bit_cast<float>(static_cast<std::uint32_t>(i) << 20); }

Refinement::Refinement(std::string_view text, bool count_sizes) : count_sizes_(count_sizes) {
  while (!text.empty()) {
    const std::size_t end = text.find_first_of("\n;");
    std::string_view line = text.substr(0, end), all = line;
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    line = line.substr(0, line.find('#'));
    while (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with(' ') || line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::size_t equals = line.find('=');
    std::string_view pattern = equals == line.npos ? "*" : line.substr(0, equals);
    while (pattern.ends_with(' ')) pattern.remove_suffix(1);
    rules_.emplace_back(pattern, threshold_of(equals == line.npos ? line : line.substr(equals + 1), all));
  }
  if (rules_.empty()) fail(Fault::usage, "a refinement without a threshold: expected a number, or lines PATTERN = NUMBER");
}

RefinedMatrix* Refinement::add(std::string_view matrix) {
  double threshold = -1;
  const std::string name(matrix);
  for (const auto& [pattern, value] : rules_)
    if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0) threshold = value;
  if (threshold < 0) return nullptr;
  return &matrices_.emplace_back(RefinedMatrix{name, threshold, 0, 0, std::vector<i64>(count_sizes_ ? kSizeClasses : 0)});
}

void Refinement::reset() {
  for (RefinedMatrix& m : matrices_) {
    m.blocks = m.refined = 0;
    std::fill(m.sizes.begin(), m.sizes.end(), 0);
  }
}

i64 Refinement::blocks() const {
  i64 sum = 0;
  for (const RefinedMatrix& m : matrices_) sum += m.blocks;
  return sum;
}
i64 Refinement::refined() const {
  i64 sum = 0;
  for (const RefinedMatrix& m : matrices_) sum += m.refined;
  return sum;
}
double Refinement::executed() const {
  const i64 all = blocks();
  return all > 0 ? 0.5 + 0.5 * static_cast<double>(refined()) / static_cast<double>(all) : 1;
}

std::unique_ptr<PackedLinear> make_refined(std::unique_ptr<PackedLinear> matrix, std::string_view name, Refinement& refinement, Threads& threads) {
  const Encoding& input = matrix->input().plain();
  if (input.bits != 8 || input.bipolar) return matrix;
  const Isa isa = chosen_isa();
  RefineView view{};
  view.inner = matrix->kernels(isa).rows[0];
  if (!kernels_of(isa).reads(*view.inner, view)) return matrix;
  RefinedMatrix* counts = refinement.add(name);
  if (!counts) return matrix;
  view.inner_data = matrix->kernel_data();
  view.first_panel = matrix->packed_bytes().data();
  view.panel_bytes = matrix->bytes() / std::max<i64>(matrix->panels(), 1);
  view.units = ceil_div<i64>(matrix->shape().cols, 32);
  return std::make_unique<Refined>(std::move(matrix), view, *counts, isa, threads);
}

}  // namespace bitkerf
