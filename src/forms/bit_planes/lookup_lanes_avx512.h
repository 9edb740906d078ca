#include <immintrin.h>

namespace bitkerf {
namespace {

struct Lookup {
  static void sums(const std::int8_t* q, std::int32_t offset, std::uint8_t* low, std::uint8_t* high) {
    // Lane n: the four bits of n as bytes.
    const __m512i bits = _mm512_set_epi32(0x01010101, 0x01010100, 0x01010001, 0x01010000, 0x01000101, 0x01000100, 0x01000001, 0x01000000,
                                          0x00010101, 0x00010100, 0x00010001, 0x00010000, 0x00000101, 0x00000100, 0x00000001, 0);
    std::int32_t four;
    __builtin_memcpy(&four, q, 4);
    const __m512i sum = _mm512_dpbusd_epi32(_mm512_set1_epi32(offset), bits, _mm512_set1_epi32(four));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm512_cvtepi32_epi8(sum));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(high), _mm512_cvtepi32_epi8(_mm512_srli_epi32(sum, 8)));
  }
  static __m512i add_bytes(__m512i sum, __m512i bytes) { return _mm512_dpbusd_epi32(sum, bytes, _mm512_set1_epi8(1)); }
  static void add(__m512i words, const std::uint8_t* tables, __m512i& low, __m512i& high) {
    const __m512i nibble = _mm512_set1_epi8(15), byte = _mm512_set1_epi32(0x30201000);
    // (words AND nibble) OR byte
    const __m512i first = _mm512_ternarylogic_epi32(words, nibble, byte, 0xea);
    const __m512i second = _mm512_ternarylogic_epi32(_mm512_srli_epi32(words, 4), nibble, byte, 0xea);
    low = add_bytes(low, _mm512_permutexvar_epi8(first, _mm512_loadu_si512(tables)));
    high = _mm512_add_epi8(high, _mm512_permutexvar_epi8(first, _mm512_loadu_si512(tables + 64)));
    low = add_bytes(low, _mm512_permutexvar_epi8(second, _mm512_loadu_si512(tables + 128)));
    high = _mm512_add_epi8(high, _mm512_permutexvar_epi8(second, _mm512_loadu_si512(tables + 192)));
  }
};

}  // namespace
}  // namespace bitkerf
