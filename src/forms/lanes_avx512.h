#include <immintrin.h>

#include <cstdint>

namespace bitkerf {
namespace {

struct Lanes {
  using F = __m512;
  using I = __m512i;
  using B = __m512i;
  // 32 registers: 6 tokens x 2 halves x (int32 sum + float sum) = 24, 2 for codes, the rest for scales.
  static constexpr int kUnroll = 8;  // of loops over steps, tokens and halves
  static constexpr int kTokens = 6;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F zero() { return _mm512_setzero_ps(); }
  static F all(float v) { return _mm512_set1_ps(v); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  static F from_half(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F bits_to_float(I v) { return _mm512_castsi512_ps(v); }

  static I all_int(std::int32_t v) { return _mm512_set1_epi32(v); }
  static I from_u8(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I from_i8(const std::uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I from_u16(const std::uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static I band(I a, int mask) { return _mm512_and_si512(a, _mm512_set1_epi32(mask)); }
  static I bor(I a, I b) { return _mm512_or_si512(a, b); }
  static I sub(I a, int b) { return _mm512_sub_epi32(a, _mm512_set1_epi32(b)); }
  static I negate(I a) { return _mm512_sub_epi32(_mm512_setzero_si512(), a); }
  static I shr(I a, int n) { return _mm512_srli_epi32(a, static_cast<unsigned>(n)); }
  static I shl(I a, int n) { return _mm512_slli_epi32(a, static_cast<unsigned>(n)); }

  static B bytes(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static void store_bytes(std::uint8_t* p, B v) { _mm512_storeu_si512(p, v); }
  static B bytes_and(B a, int mask) { return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(mask))); }
  static B bytes_or(B a, B b) { return _mm512_or_si512(a, b); }
  // Shifts of 16-bit units: the caller masks what crosses a byte.
  static B bytes_shr(B a, int n) { return _mm512_srli_epi16(a, static_cast<unsigned>(n)); }
  static B bytes_shl(B a, int n) { return _mm512_slli_epi16(a, static_cast<unsigned>(n)); }
  // Adds `bit` to the bytes whose bit in the 64-bit mask at p is set (bytes have that bit clear).
  static B bytes_set(B a, const std::uint8_t* p, int bit) {
    return _mm512_mask_add_epi8(a, _load_mask64(reinterpret_cast<__mmask64*>(const_cast<std::uint8_t*>(p))), a,
                                _mm512_set1_epi8(static_cast<char>(bit)));
  }
  static B lookup(B index, const std::uint8_t* table16) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table16))), index);
  }
  // sum + codes . x over the four columns of each row; codes unsigned, x four signed bytes. kBits: of the codes.
  template <int kBits>
  static I dot(I sum, B codes, const std::int8_t* x) {
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(x)));
  }

  // Largest absolute value of the 32 floats at x.
  static float top(const float* x) {
    return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(load(x)), _mm512_abs_ps(load(x + 16))));
  }
  // q[i] = nearest integer, ties to even, of x[i] * factor for 16 floats; returns the sum of q.
  static std::int32_t quantize(const float* x, float factor, std::int8_t* q) {
    __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(load(x), _mm512_set1_ps(factor)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(v));
    return _mm512_reduce_add_epi32(v);
  }
};

}  // namespace
}  // namespace bitkerf
