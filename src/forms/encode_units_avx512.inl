// Rows of int5 .. int8 with a scale per 1, 2, 4 or 8 units of 32 columns or per row, 16 units at a time: what a unit has
// one of (maximum, scale, sums) is a lane, so that no unit costs a reduction of its own. The bits are those of
// encode_rows(): maxima and integer sums are exact in any order, the divisions are the same.
namespace bitkerf {
namespace {

// Of sizes; as integers, so that NaN is the largest.
[[gnu::always_inline]] inline __m512 larger_of(__m512 a, __m512 b) {
  return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

// Lane i: the largest lane of r[i].
[[gnu::always_inline]] inline __m512 largest_of_each(const __m512 (&r)[16]) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)  // lanes alternate between two of the 16
    a[i] = larger_of(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++)  // every quarter has four of the 16
    b[i] = larger_of(_mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0x44), _mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0xee));
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++)
    c[i] = larger_of(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x44), _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xee));
  // Quarters of c[0]: half the maximum of b[0] twice, then of b[1].
  return larger_of(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

// Lane 4 j + i: the sum of quarter i of r[j].
[[gnu::always_inline]] inline __m512i quarter_sums(const __m512i* r) {
  __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
  __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
  // Lane 4 i + j: the sum of quarter i of r[j].
  __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), s);
}

// Lane i: the sum of lanes 0 .. i.
[[gnu::always_inline]] inline __m512i sums_up_to(__m512i v) {
  const __m512i none = _mm512_setzero_si512();
  v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 15));
  v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 14));
  v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 12));
  return _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 8));
}

// Every lane gets what `join` makes of the aligned group of `count` lanes (1, 2, 4 or 8) that it is in.
template <class Join>
[[gnu::always_inline]] inline __m512i over_groups(__m512i v, i64 count, Join&& join) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int i = 1; i < count; i *= 2) v = join(v, _mm512_permutexvar_epi32(_mm512_xor_si512(lane, _mm512_set1_epi32(i)), v));
  return v;
}

inline bool encodes_units(const IntRows& out) {
  return out.groups == 1 || out.group_units == 1 || out.group_units == 2 || out.group_units == 4 || out.group_units == 8;
}

inline void encode_units(const float* data, i64 cols, i64 stride, i64 first, i64 last, const IntRows& out) {
  const __m512 top_code = _mm512_set1_ps(static_cast<float>((1 << (out.bits - 1)) - 1));
  const __m512i ones = _mm512_set1_epi8(1), none = _mm512_setzero_si512();
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (i64 t = first; t < last; t++) {
    const float* row = data + t * stride;
    std::int32_t* before = out.minus_before + t * (out.units + 1);
    __m512i carry = none;
    before[0] = 0;
    const bool one_group = out.groups == 1;
    // Lanes that are the first of a group, whose values are stored.
    const auto firsts = static_cast<__mmask16>(out.group_units == 1 ? 0xffff : out.group_units == 2 ? 0x5555 : out.group_units == 4 ? 0x1111 : 0x0101);
    __m512 row_top = _mm512_setzero_ps();
    if (one_group) {
      __m512 top2 = row_top;
      i64 c = 0;
      for (; c + 32 <= cols; c += 32) {
        row_top = larger_of(row_top, _mm512_abs_ps(_mm512_loadu_ps(row + c)));
        top2 = larger_of(top2, _mm512_abs_ps(_mm512_loadu_ps(row + c + 16)));
      }
      for (; c < cols; c += 16)
        row_top = larger_of(row_top, _mm512_abs_ps(_mm512_maskz_loadu_ps(static_cast<__mmask16>(cols - c >= 16 ? 0xffff : (1 << (cols - c)) - 1), row + c)));
      row_top = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(_mm512_reduce_max_epu32(_mm512_castps_si512(larger_of(row_top, top2))))));
    }
    for (i64 u = 0; u < out.units; u += 16) {
      i64 count = out.units - u < 16 ? out.units - u : 16, left = cols - 32 * u;
      const float* x = row + 32 * u;
      auto load = [&](i64 c) __attribute__((always_inline)) {  // columns that are not there: zero
        if (c + 16 <= left) return _mm512_loadu_ps(x + c);
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>(c < left ? (1 << (left - c)) - 1 : 0), x + c);
      };
      __m512 most[16];
      if (one_group) {
      } else if (count == 16 && left >= 512) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
          most[i] = larger_of(_mm512_abs_ps(_mm512_loadu_ps(x + 32 * i)), _mm512_abs_ps(_mm512_loadu_ps(x + 32 * i + 16)));
      } else {
        for (int i = 0; i < 16; i++)
          most[i] = i < count ? larger_of(_mm512_abs_ps(load(32 * i)), _mm512_abs_ps(load(32 * i + 16))) : _mm512_setzero_ps();
      }
      const __m512 top = one_group ? row_top
                                   : _mm512_castsi512_ps(over_groups(_mm512_castps_si512(largest_of_each(most)), out.group_units,
                                                                     [](__m512i a, __m512i b) { return _mm512_max_epu32(a, b); }));
      // Below 2^-111 the inverse could be infinite.
      __mmask16 large = _mm512_cmp_ps_mask(top, _mm512_set1_ps(0x1p-111f), _CMP_GT_OQ);
      alignas(64) float inverse[16];
      _mm512_store_ps(inverse, _mm512_maskz_div_ps(large, top_code, top));
      const auto there = static_cast<__mmask16>((1 << count) - 1);
      const auto stored = static_cast<__mmask16>(there & firsts);
      const i64 first_group = t * out.groups + u / out.group_units;
      const __m512 scale = _mm512_div_ps(top, top_code);
      if (!one_group) _mm512_mask_compressstoreu_ps(out.scale + first_group, stored, scale);
      else if (u == 0) out.scale[t] = _mm512_cvtss_f32(scale);
      std::int8_t* q = out.q + t * out.cols + 32 * u;
      __m512i dots[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) dots[i] = none;
      for (i64 i = 0; i < count; i += 2) {
        __m512i code[4];
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++)
          code[part] = _mm512_cvtps_epi32(_mm512_mul_ps(load(32 * i + 16 * part), _mm512_set1_ps(inverse[i + part / 2])));
        // Quarter i of the packed bytes has columns 4 i .. of each part.
        __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(code[0], code[1]), _mm512_packs_epi32(code[2], code[3]));
        bytes = _mm512_permutexvar_epi32(in_order, bytes);
        if (i + 1 < count) _mm512_storeu_si512(q + 32 * i, bytes);
        else _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + 32 * i), _mm512_castsi512_si256(bytes));
        dots[i / 2] = _mm512_dpbusd_epi32(none, ones, bytes);
      }
      __m512i low = _mm512_sub_epi32(none, quarter_sums(dots)), high = _mm512_sub_epi32(none, quarter_sums(dots + 4));
      std::int32_t* sum16 = out.minus_sum16 + 2 * (t * out.units + u);
      _mm512_mask_storeu_epi32(sum16, static_cast<__mmask16>(count >= 8 ? 0xffff : (1 << 2 * count) - 1), low);
      if (count > 8) _mm512_mask_storeu_epi32(sum16 + 16, static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << (2 * count - 16)) - 1), high);
      __m512i units = _mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high), _mm512_permutex2var_epi32(low, odd, high));
      if (!one_group) {
        const __m512i of_groups = over_groups(_mm512_maskz_mov_epi32(there, units), out.group_units,
                                              [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); });
        _mm512_mask_compressstoreu_ps(out.scaled_sum + first_group, stored, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_sub_epi32(none, of_groups))));
      }
      __m512i sums = _mm512_add_epi32(carry, sums_up_to(units));
      _mm512_mask_storeu_epi32(before + u + 1, there, sums);
      carry = _mm512_permutexvar_epi32(_mm512_set1_epi32(15), sums);
    }
    if (one_group) out.scaled_sum[t] = out.scale[t] * static_cast<float>(-before[out.units]);
  }
}

}  // namespace
}  // namespace bitkerf
