// Sums of L-Mul products in float32, columns in order; plain loops over 32 rows, which compilers turn into vectors.
#include "formats/l_mul.h"
#include "forms/packed.h"

namespace bitkerf {
namespace {

void study(const LMul& mode, const float* w, i64 first, i64 count, const Matrix<const float>& x, i64 token, float* y) {
  const LMul m = mode;
  float sum[32];
  for (int r = 0; r < 32; r++) sum[r] = first == 0 ? 0.0f : y[r];
  const float* v = x.data + token * x.stride + first;
  for (i64 c = 0; c < count; c++, w += 32) {
    const std::uint32_t a = l_mul_operand(v[c], m);
    std::uint32_t b[32];
    __builtin_memcpy(b, w, sizeof b);
    for (int r = 0; r < 32; r++) sum[r] += l_mul(b[r], a, m);
  }
  for (int r = 0; r < 32; r++) y[r] = sum[r];
}

void study_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64, i64 token, float* y) noexcept {
  study(*static_cast<const LMul*>(self), reinterpret_cast<const float*>(panel), 0, cols, *static_cast<const Matrix<const float>*>(input), token, y);
}

struct StudyTile {
  const LMul* mode;
  const float* weights;
};
const void* study_unpack(const void* self, const std::byte* panel, i64, i64 first, i64, void* scratch) noexcept {
  auto* tile = static_cast<StudyTile*>(scratch);
  *tile = {static_cast<const LMul*>(self), reinterpret_cast<const float*>(panel) + first * 32};
  return tile;
}
i64 study_bytes(i64) { return sizeof(StudyTile); }

void study_tile(const void* data, i64, i64 first, i64 count, const void* input, i64, i64 token, float* y, i64) noexcept {
  const auto& tile = *static_cast<const StudyTile*>(data);
  study(*tile.mode, tile.weights, first, count, *static_cast<const Matrix<const float>*>(input), token, y);
}

constexpr PanelKernels make_study_kernels() { return {"study", study_one, study_unpack, study_bytes, {nullptr, study_tile}, 1}; }

}  // namespace
}  // namespace bitkerf
