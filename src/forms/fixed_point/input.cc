// Activations as 16-bit codes with one power of two per token.
#include <algorithm>
#include <cmath>
#include <new>

#include "core/buffer.h"
#include "forms/fixed_point/words.h"

namespace bitkerf {
namespace {

constexpr i64 kHead = 64;
static_assert(sizeof(WordRows) <= kHead);

i64 bytes(const Encoding&, i64 tokens, i64 cols) { return kHead + 2 * round_up<i64>(tokens * 4, 64) + round_up<i64>(tokens * round_up<i64>(cols, 2) * 2, 64); }

void prepare(const Encoding&, void* memory, i64 tokens, i64 cols) noexcept {
  auto* p = static_cast<std::byte*>(memory) + kHead;
  auto* rows = new (memory) WordRows;
  rows->cols = round_up<i64>(cols, 2);
  rows->scale = reinterpret_cast<float*>(p);
  p += round_up<i64>(tokens * 4, 64);
  rows->most = reinterpret_cast<std::int32_t*>(p);
  p += round_up<i64>(tokens * 4, 64);
  rows->q = reinterpret_cast<std::int16_t*>(p);
}

// Same bits on every instruction set: each step is exact but the one rounding, to nearest even.
void encode(const Encoding& encoding, Isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  const WordRows& out = *static_cast<const WordRows*>(memory);
  const int p = encoding.bits;
  const float limit = static_cast<float>((1 << (p - 1)) - 1);
  for (i64 t = first; t < last; t++) {
    const float* row = x.row(t);
    std::int16_t* q = out.q + t * out.cols;
    float top = 0, poison = 0;  // NaN where a number is NaN or infinite: then the scale is, and makes every output so
    for (i64 c = 0; c < x.cols; c++) {
      top = std::max(top, std::fabs(row[c]));
      poison += row[c] * 0;
    }
    int exponent = 0;
    if (std::frexp(top, &exponent) == 0.5f) exponent--;  // ceil(log2 top)
    // Below 2^-100 a row is zero to anything that it is added to.
    float inverse = top > 0x1p-100f ? std::ldexp(1.0f, p - 1 - exponent) : 0;
    out.scale[t] = inverse > 0 ? std::ldexp(1.0f, exponent - (p - 1)) : 0;
    out.scale[t] += poison;
    std::int32_t most = 0;
    for (i64 c = 0; c < x.cols; c++) {
      float v = std::min(std::max(-limit, row[c] * inverse), limit);
      auto code = static_cast<std::int32_t>((v + 12582912.0f) - 12582912.0f);  // 1.5 * 2^23: nearest, ties to even
      most = std::max(most, std::abs(code));
      q[c] = static_cast<std::int16_t>(code);
    }
    if (x.cols < out.cols) q[x.cols] = 0;
    out.most[t] = most;
  }
}

double value(const Encoding&, const void* memory, i64 token, i64 col) {
  const WordRows& rows = *static_cast<const WordRows*>(memory);
  return double{rows.scale[token]} * rows.q[token * rows.cols + col];
}

}  // namespace

const Encoding::Kind kWords = {bytes, prepare, encode, value};

}  // namespace bitkerf
