// One token times codes of pairs and of eight weights, without bringing columns into the order of rows: a unit's bytes are
// multiplied as they come out of the tables, by activations that are brought into their order instead, and the parts of a
// row's sum, which lie in several lanes, meet at the end of a span. Integer sums: the same bits as units_one() gives.
// Included after int_units.inl; layouts are those of codebook.h.
namespace bitkerf {
namespace {

// Pairs of kBits: per unit some 66 instructions for 1024 weights up to 7 bits, beside some 140 through steps of columns.
template <int kBits>
struct PairStream {
  static constexpr int kLevels = PlainCodes<kBits>::kLevels > 64 ? 1 << kBits : 64;  // entries of a table that is read
  using Sums = __m512i[2][4];  // [half][i]: lane L, dword d: of row 4 L + i, columns 8 d to 8 d + 7

  const CodebookView& v;

  // Even and odd columns of 32 activations, in every lane.
  struct Input {
    __m512i even, odd;
    explicit Input(const std::int8_t* x) {
      const __m512i apart = _mm512_broadcast_i32x4(_mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0));
      __m512i both = _mm512_shuffle_epi8(_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))), apart);
      even = _mm512_permutex_epi64(both, 0x88);
      odd = _mm512_permutex_epi64(both, 0xdd);
    }
  };

  // Bit i of a code comes from byte 7 - i of a 64-bit lane, so planes are brought together byte by byte: three rounds of
  // unpacking give, for lanes of 4 rows, 8 codes of a row in 64 bits each.
  [[gnu::always_inline]] void add(const std::uint8_t* unit, const Input& x, Sums& sums) const {
    const __m512i none = _mm512_setzero_si512(), ones = _mm512_set1_epi64(static_cast<long long>(0x8040201008040201u));
    __m512i p[8], pairs[4][2], fours[2][4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) p[i] = i < 8 - kBits ? none : _mm512_loadu_si512(unit + 64 * (i - (8 - kBits)));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      pairs[i][0] = _mm512_unpacklo_epi8(p[2 * i], p[2 * i + 1]);
      pairs[i][1] = _mm512_unpackhi_epi8(p[2 * i], p[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        fours[i][2 * h] = _mm512_unpacklo_epi16(pairs[2 * i][h], pairs[2 * i + 1][h]);
        fours[i][2 * h + 1] = _mm512_unpackhi_epi16(pairs[2 * i][h], pairs[2 * i + 1][h]);
      }
    // fours[..][i]: the four bytes (two of each half) of rows 4 L + i.
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        __m512i matrix = half == 0 ? _mm512_unpacklo_epi32(fours[0][i], fours[1][i]) : _mm512_unpackhi_epi32(fours[0][i], fours[1][i]);
        __m512i codes = _mm512_gf2p8affine_epi64_epi8(ones, matrix, 0);
        __m512i& sum = sums[half][i];
        sum = _mm512_dpbusd_epi32(sum, Tables::template look_up<kLevels>(codes, v.table[0]), x.even);
        sum = _mm512_dpbusd_epi32(sum, Tables::template look_up<kLevels>(codes, v.table[1]), x.odd);
      }
  }

  // The sums of 16 rows.
  [[gnu::always_inline]] static __m512i rows(const __m512i (&s)[4]) {
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }
};

// Patterns: four tables give a byte each for a code, two of its weights: absolute value (2 bits), sign, which way all move.
// A table of 64 makes weights of these, whatever the upper two bits of its index.
struct PatternStream {
  using Sums = __m512i[2][4];  // [half][i]: 128-bit lane o: columns 8 o to 8 o + 7 of rows 0 1 4 5, 2 3 6 7, 8 9 12 13, 10 11 14 15

  const CodebookView& v;

  // Of every eight columns the first and the last four, in a lane of their own.
  struct Input {
    __m512i first, last;
    explicit Input(const std::int8_t* x) {
      const __m512i at = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);
      __m512i columns = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
      first = _mm512_permutexvar_epi32(at, columns);
      last = _mm512_permutexvar_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(1)), columns);
    }
  };

  [[gnu::always_inline]] void add(const std::uint8_t* unit, const Input& x, Sums& sums) const {
    // Nibbles 0 and 1 of rows 0 and 1, 2 and 3 of every 64 bits' four codes.
    const __m512i low = _mm512_set1_epi64(0x1c1814100c080400), high = _mm512_set1_epi64(0x3c3834302c282420);
    const __m512i weights = _mm512_load_si512(v.moved);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      const __m512i codes = _mm512_loadu_si512(unit + 128 * half), signs = _mm512_loadu_si512(unit + 128 * half + 64);
      const __mmask64 top = _mm512_movepi8_mask(codes);
      __m512i two[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        const std::uint8_t* t = v.nibbles[k];
        __m512i a = _mm512_permutex2var_epi8(_mm512_load_si512(t), codes, _mm512_load_si512(t + 64));
        __m512i b = _mm512_permutex2var_epi8(_mm512_load_si512(t + 128), codes, _mm512_load_si512(t + 192));
        // Row i of the matrix is byte 7 - i: bits 2 and 6 are the signs of weights 2 k and 2 k + 1 (the eighth is the parity of
        // the others), bits 3 and 7 where all move.
        const std::uint64_t sign = std::uint64_t{1} << (2 * k), next = k < 3 ? std::uint64_t{2} << (2 * k) : 0x7f;
        const __m512i spread = _mm512_set1_epi64(static_cast<long long>(0x80 | next << 8 | std::uint64_t{0x80} << 32 | sign << 40));
        two[k] = _mm512_xor_si512(_mm512_mask_mov_epi8(a, top, b), _mm512_gf2p8affine_epi64_epi8(signs, spread, 0));
      }
#pragma GCC unroll 2
      for (int t = 0; t < 2; t++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
          __m512i four = h == 0 ? _mm512_unpacklo_epi8(two[2 * t], two[2 * t + 1]) : _mm512_unpackhi_epi8(two[2 * t], two[2 * t + 1]);
          const __m512i& columns = t == 0 ? x.first : x.last;
          __m512i &a = sums[half][2 * h], &b = sums[half][2 * h + 1];
          a = _mm512_dpbusd_epi32(a, _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(low, four), weights), columns);
          b = _mm512_dpbusd_epi32(b, _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(high, four), weights), columns);
        }
    }
  }

  [[gnu::always_inline]] static __m512i rows(const __m512i (&s)[4]) {
    __m512i a = _mm512_add_epi32(_mm512_shuffle_i32x4(s[0], s[1], 0x88), _mm512_shuffle_i32x4(s[0], s[1], 0xdd));
    __m512i b = _mm512_add_epi32(_mm512_shuffle_i32x4(s[2], s[3], 0x88), _mm512_shuffle_i32x4(s[2], s[3], 0xdd));
    __m512i all = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    return _mm512_permutexvar_epi32(_mm512_set_epi32(15, 14, 11, 10, 13, 12, 9, 8, 7, 6, 3, 2, 5, 4, 1, 0), all);
  }
};

template <class Stream>
void stream_one(const void* self, const std::byte* data, i64, const void* input, i64, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const CodebookView*>(self);
  const IntRows x = *static_cast<const IntRows*>(input);
  const u8* panel = reinterpret_cast<const u8*>(data);
  const std::int8_t* q = x.q + token * x.cols;
  const float* scale = x.scale + token * x.groups;
  const PanelScales<CodebookView> scales[2] = {{v, panel, 0}, {v, panel, 1}};
  const Stream stream{v};
  F total[2] = {Lanes::zero(), Lanes::zero()}, sum[2] = {Lanes::zero(), Lanes::zero()};
  i64 group_end = std::min(x.group_units, x.units);
  for (i64 unit = 0; unit < v.units;) {
    const i64 units = std::min(v.span_units, v.units - unit);
    const std::int32_t minus = minus_sum_of<32>(x, token, unit, units, 0);
    typename Stream::Sums sums = {};
    for (i64 u = unit; u < unit + units; u++) {
      ask_ahead(v, panel, u);
      stream.add(panel + u * v.unit_bytes, typename Stream::Input(q + 32 * u), sums);
    }
    for (int half = 0; half < 2; half++) {
      F d, m;
      scales[half].load(unit * 32 / v.group, d, m);
      I dot = Lanes::add(Stream::rows(sums[half]), Lanes::all_int(minus * v.offset));
      sum[half] = add_span_of(v.has_minimum, v.late, sum[half], dot, d, m, *scale, minus);
    }
    unit += units;
    if (unit == group_end) {
      if (v.late) {
        for (int half = 0; half < 2; half++) {
          total[half] = Lanes::fma(sum[half], Lanes::all(*scale), total[half]);
          sum[half] = Lanes::zero();
        }
      }
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  for (int half = 0; half < 2; half++) Lanes::store(y + 16 * half, v.late ? total[half] : sum[half]);
}

// By CodebookKind, from kPairs on.
constexpr decltype(PanelKernels::one) kStreamsOne[] = {stream_one<PairStream<4>>, stream_one<PairStream<5>>, stream_one<PairStream<6>>,
                                                       stream_one<PairStream<7>>, stream_one<PairStream<8>>, stream_one<PatternStream>};

}  // namespace
}  // namespace bitkerf
