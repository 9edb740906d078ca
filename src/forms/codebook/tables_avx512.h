// Table look-ups of the codebook form; after lanes_avx512.h. See tables_portable.h for what each function means.
#include <immintrin.h>

namespace bitkerf {
namespace {

struct Tables {
  using B = Lanes::B;
  using I = Lanes::I;

  static I ints(B v) { return v; }

  template <int kLevels>
  static B look_up(B index, const std::uint8_t* table) {
    if constexpr (kLevels <= 16) {
      return Lanes::lookup(index, table);
    } else {
      __m512i t0 = _mm512_load_si512(table), t1 = _mm512_load_si512(table + 64);
      if constexpr (kLevels <= 64) return _mm512_permutexvar_epi8(index, t0);
      __m512i low = _mm512_permutex2var_epi8(t0, index, t1);
      if constexpr (kLevels <= 128) return low;
      __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), index, _mm512_load_si512(table + 192));
      return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
    }
  }

  static B with_row(B codes) {
    const __m512i row = _mm512_slli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 4);
    const __m512i spread = _mm512_broadcast_i32x4(_mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
    return _mm512_or_si512(codes, _mm512_shuffle_epi8(row, spread));
  }

  static void interleave(B first, B second, B* out) {
    __m512 low = _mm512_castsi512_ps(_mm512_unpacklo_epi8(first, second));
    __m512 high = _mm512_castsi512_ps(_mm512_unpackhi_epi8(first, second));
    out[0] = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88));
    out[1] = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xdd));
  }

  // Of 8 rows a gather brings their patterns of one octet of columns; the sign bytes, with the eighth sign added by a
  // bit matrix, are the mask that negates weights. VPERMI2D then makes steps of four columns of them, as in
  // Lanes::expand.
  static void signed_patterns(const std::uint8_t* codes, const std::uint64_t* patterns, std::int32_t offset, B* out) {
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    // Row i of the matrix is byte 7 - i: bits 0..6 stay, bit 7 becomes their parity.
    const __m512i parity = _mm512_set1_epi64(0x010204081020407f);
    __m512i sign_bytes = _mm512_loadu_si512(codes + 64);
    alignas(64) std::uint64_t signs[8];
    _mm512_store_si512(signs, _mm512_gf2p8affine_epi64_epi8(sign_bytes, parity, 0));
    const __m512i plus = _mm512_set1_epi8(static_cast<char>(offset + 1)), minus = _mm512_set1_epi8(static_cast<char>(offset - 1));
    __mmask64 moved = _mm512_movepi8_mask(sign_bytes);
    for (int octet = 0; octet < 4; octet++) {
      __m512i half[2];
      for (int h = 0; h < 2; h++) {
        int at = 2 * octet + h;
        __m512i index = _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + 8 * at)));
        __m512i v = _mm512_i64gather_epi64(index, patterns, 8);
        v = _mm512_mask_sub_epi8(v, _cvtu64_mask64(signs[at]), _mm512_setzero_si512(), v);
        __m512i shift = _mm512_mask_mov_epi64(plus, static_cast<__mmask8>(moved >> 8 * at), minus);
        half[h] = _mm512_add_epi8(v, shift);
      }
      out[2 * octet] = _mm512_permutex2var_epi32(half[0], even, half[1]);
      out[2 * octet + 1] = _mm512_permutex2var_epi32(half[0], odd, half[1]);
    }
  }
};

}  // namespace
}  // namespace bitkerf
