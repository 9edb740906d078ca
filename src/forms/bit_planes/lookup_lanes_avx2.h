#include <immintrin.h>

namespace bitkerf {
namespace {

struct Lookup {
  static void sums(const std::int8_t* q, std::int32_t offset, std::uint8_t* low, std::uint8_t* high) {
    std::int32_t sum[16];
    sum[0] = offset;
    for (int n = 1; n < 16; n++) sum[n] = sum[n & (n - 1)] + q[__builtin_ctz(static_cast<unsigned>(n))];
    for (int n = 0; n < 16; n++) {
      low[n] = static_cast<std::uint8_t>(sum[n] & 255);
      high[n] = static_cast<std::uint8_t>(sum[n] >> 8);
    }
  }
  static __m256i add_bytes(__m256i sum, __m256i bytes) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1)));
  }
  static Lanes::I add_bytes(Lanes::I sum, Lanes::I bytes) { return {add_bytes(sum.a, bytes.a), add_bytes(sum.b, bytes.b)}; }
  // A shuffle has one table of 16 bytes for all bytes: four shuffles, each zero but for its byte of the words.
  static __m256i look(const __m256i (&index)[4], const std::uint8_t* tables) {
    __m256i r[4];
#pragma GCC unroll 4
    for (int b = 0; b < 4; b++)
      r[b] = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + 16 * b))), index[b]);
    return _mm256_or_si256(_mm256_or_si256(r[0], r[1]), _mm256_or_si256(r[2], r[3]));
  }
  static void add(__m256i words, const std::uint8_t* tables, __m256i& low, __m256i& high) {
#pragma GCC unroll 2
    for (int part = 0; part < 2; part++, tables += 128) {
      const __m256i nibble = _mm256_and_si256(part ? _mm256_srli_epi32(words, 4) : words, _mm256_set1_epi8(15));
      __m256i index[4];
#pragma GCC unroll 4
      for (int b = 0; b < 4; b++) index[b] = _mm256_or_si256(nibble, _mm256_set1_epi32(static_cast<int>(0x80808080u & ~(0x80u << (8 * b)))));
      low = add_bytes(low, look(index, tables));
      high = _mm256_add_epi8(high, look(index, tables + 64));
    }
  }
  static void add(Lanes::I words, const std::uint8_t* tables, Lanes::I& low, Lanes::I& high) {
    add(words.a, tables, low.a, high.a);
    add(words.b, tables, low.b, high.b);
  }
};

}  // namespace
}  // namespace bitkerf
