// Sixteen int32 sums of pairs of 16-bit products, and the doubles that they are emptied into.
#include <cstdint>
#include <cstring>

namespace bitkerf {
namespace {

#ifdef BITKERF_COUNT_OVERFLOWS
long long overflows = 0;  // of int32 sums; kernels_test counts them
#endif

struct WordLanes {
  static constexpr int kTokens = 2;
  struct I { std::int32_t v[16]; };
  static I zero() { return {}; }
  static I load(const std::int16_t* p) {
    I r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  // One pair of activations for all rows.
  static I pair(const std::int16_t* p) {
    I r;
    for (std::int32_t& v : r.v) std::memcpy(&v, p, 4);
    return r;
  }
  static I dot(I sum, I codes, I x) {
    for (int i = 0; i < 16; i++) {
      std::int16_t w[2], a[2];
      std::memcpy(w, &codes.v[i], 4);
      std::memcpy(a, &x.v[i], 4);
      std::int64_t exact = std::int64_t{sum.v[i]} + std::int64_t{w[0]} * a[0] + std::int64_t{w[1]} * a[1];
      sum.v[i] = static_cast<std::int32_t>(exact);
#ifdef BITKERF_COUNT_OVERFLOWS
      overflows += sum.v[i] != exact;
#endif
    }
    return sum;
  }
  static void empty(I sum, double* total) {
    for (int i = 0; i < 16; i++) total[i] += sum.v[i];
  }
  static void finish(const double* total, const double* scales, double scale, float* y) {
    for (int i = 0; i < 16; i++) y[i] = static_cast<float>(total[i] * (scales[i] * scale));
  }
};

}  // namespace
}  // namespace bitkerf
