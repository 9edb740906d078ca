// Table look-ups of the codebook form; after lanes_avx2.h. See tables_portable.h for what each function means.
#include <immintrin.h>

namespace bitkerf {
namespace {

struct Tables {
  using B = Lanes::B;
  using I = Lanes::I;

  static I ints(B v) { return v; }

  // Sixteen entries at a time, where the high half of the index says so.
  template <int kLevels>
  static __m256i look_up(__m256i index, const std::uint8_t* table) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_and_si256(index, nibble), high = _mm256_and_si256(_mm256_srli_epi16(index, 4), nibble);
    __m256i result = _mm256_setzero_si256();
    for (int block = 0; block < kLevels / 16; block++) {
      __m256i entries = _mm256_broadcastsi128_si256(Lanes::load128(table + 16 * block));
      __m256i here = _mm256_cmpeq_epi8(high, _mm256_set1_epi8(static_cast<char>(block)));
      result = _mm256_or_si256(result, _mm256_and_si256(_mm256_shuffle_epi8(entries, low), here));
    }
    return result;
  }
  template <int kLevels>
  static B look_up(B index, const std::uint8_t* table) {
    if constexpr (kLevels <= 16) return Lanes::lookup(index, table);
    else return {look_up<kLevels>(index.a, table), look_up<kLevels>(index.b, table)};
  }

  static B with_row(B codes) {
    const __m256i spread = _mm256_broadcastsi128_si256(_mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
    const __m256i row = _mm256_set_epi32(112, 96, 80, 64, 48, 32, 16, 0);
    __m256i bytes = _mm256_shuffle_epi8(row, spread);
    return {_mm256_or_si256(codes.a, bytes), _mm256_or_si256(codes.b, _mm256_or_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80))))};
  }

  static void interleave(__m256i first, __m256i second, __m256i* out) {
    __m256 low = _mm256_castsi256_ps(_mm256_unpacklo_epi8(first, second));
    __m256 high = _mm256_castsi256_ps(_mm256_unpackhi_epi8(first, second));
    out[0] = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));
    out[1] = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd));
  }
  static void interleave(B first, B second, B* out) {
    __m256i a[2], b[2];
    interleave(first.a, second.a, a);
    interleave(first.b, second.b, b);
    for (int i = 0; i < 2; i++) out[i] = {a[i], b[i]};
  }

  static void signed_patterns(const std::uint8_t* codes, const std::uint64_t* patterns, std::int32_t offset, B* out) {
    const __m256i bits = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    for (int octet = 0; octet < 4; octet++)
      for (int quarter = 0; quarter < 4; quarter++) {  // four rows of eight weights
        alignas(32) std::uint64_t v[4], s[4], m[4];
        for (int i = 0; i < 4; i++) {
          std::uint64_t row = static_cast<std::uint64_t>(16 * octet + 4 * quarter + i), sign = codes[64 + row];
          v[i] = patterns[codes[row]];
          m[i] = static_cast<std::uint64_t>(sign >> 7 ? offset - 1 : offset + 1) * 0x0101010101010101u;
          sign &= 0x7f;
          // The parity of the other seven, by a table of those of four bits.
          s[i] = (sign | ((std::uint64_t{0x6996} >> ((sign ^ sign >> 4) & 15) << 7) & 0x80)) * 0x0101010101010101u;
        }
        __m256i sign = _mm256_load_si256(reinterpret_cast<const __m256i*>(s));
        __m256i minus = _mm256_cmpeq_epi8(_mm256_and_si256(sign, bits), bits);
        __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(v));
        w = _mm256_sub_epi8(_mm256_xor_si256(w, minus), minus);
        w = _mm256_add_epi8(w, _mm256_load_si256(reinterpret_cast<const __m256i*>(m)));
        // Dwords: row 0 low, row 0 high, row 1 low, ...: the low ones of four rows, then the high ones.
        w = _mm256_permutevar8x32_epi32(w, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
        for (int part = 0; part < 2; part++) {
          __m128i four = part == 0 ? _mm256_castsi256_si128(w) : _mm256_extracti128_si256(w, 1);
          __m256i& target = quarter < 2 ? out[2 * octet + part].a : out[2 * octet + part].b;
          target = quarter % 2 == 0 ? _mm256_inserti128_si256(target, four, 0) : _mm256_inserti128_si256(target, four, 1);
        }
      }
  }
};

}  // namespace
}  // namespace bitkerf
