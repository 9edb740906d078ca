// Attention over a cache of int16 numbers: both products are integer dot products of pairs, twice as many
// multiply-adds an instruction as float (VPDPWSSD; VPMADDWD on AVX2), and exact: the same on every instruction set.
// Included by attention_kernels.inl, whose partials and order of sums it shares.
//
// Keys and queries: round(x / scale) with a float scale per key and per query, as large as the sum over head_dim allows
// in 32 bits (13.5 bits at head_dim 64; a half float has 11). Values: round(x / 2^e), at most 2^11, with an exponent
// per key; a scale along the summed index folds into the other factor, so what multiplies a key's value is
// w = 2^(score + e - maximum), maximum over the block's score + e, as an integer up to 8191. A row's sum adds
// w 2^-e. The sum of 128 keys is below 2^31 for any codes: 128 * 8191 * 2048.
//
// A block of 128 keys, from low addresses to high (int16 unless it says float):
//   keys            8 groups of 16 keys: (ceil(head_dim / 2) pairs, 16 keys, 2): lanes are keys
//   values          4 groups of 32 keys: (16 pairs of keys, value_cols, 2): lanes are columns. Pair 4 i + j of a group:
//                   keys 4 i + 2 j for j < 2, 16 + 4 i + 2 (j - 2) for others, the order in which pack_quarters leaves w
//   key scales      (128) floats
//   value powers    (128) floats: e

namespace bitkerf {
namespace {

constexpr i64 kShortKeys = kShortBlockKeys;
constexpr i64 kShortGroups = kShortKeys / 16;
constexpr float kMostShortValue = 65504.0f;  // of keys and values; larger ones become this, as in a half-float cache
constexpr float kLeastMagnitude = 0x1p-40f;  // rows below it are stored as if it were their largest number

struct ShortBlock {
  Short *keys, *values;
  float *key_scales, *value_powers;
  ShortBlock(const AttentionCache& cache, i64 position) {
    keys = static_cast<Short*>(cache.blocks) + position / kShortKeys * cache.block_stride;
    values = keys + kShortKeys * short_dims(cache.head_dim);
    key_scales = reinterpret_cast<float*>(values + kShortKeys * cache.value_cols);
    value_powers = key_scales + kShortKeys;
  }
};

// The largest code of keys and queries: head_dim products of two fit 31 bits.
BITKERF_INLINE float key_limit(i64 head_dim) {
  i64 limit = 32767;
  if (head_dim > 2) limit = static_cast<i64>(square_root(2147483648.0f / static_cast<float>(head_dim))) + 1;
  while (limit * limit * head_dim > 2147483647) limit--;
  return static_cast<float>(limit);
}

BITKERF_INLINE Vec bounded(Vec a) { return min(splat(kMostShortValue), max(splat(-kMostShortValue), a)); }

// max |x|, at least kLeastMagnitude; poison becomes NaN if a number is NaN, else 0.
BITKERF_INLINE float magnitude_of(const float* x, i64 n, float factor, float& poison) {
  Vec most = splat(kLeastMagnitude), rest = zero();
  for (i64 i = 0; i < n; i += 16) {
    Vec a = bounded(mul(load_up_to(x + i, n - i), splat(factor)));
    most = max(magnitude(a), most);
    rest = fma(a, zero(), rest);
  }
  poison = sum(rest);
  float m = largest(most);
  return m == m ? m : kLeastMagnitude;
}

// e and 2^-e such that m / 2^e is in [2^10, 2^11).
struct Power { float exponent, inverse; };
BITKERF_INLINE Power power_of(float m) {
  std::int32_t bits;
  __builtin_memcpy(&bits, &m, sizeof bits);
  std::int32_t e = (bits >> 23) - 127 - 10, inverse_bits = (127 - e) << 23;
  Power power{static_cast<float>(e), 0};
  __builtin_memcpy(&power.inverse, &inverse_bits, sizeof bits);
  return power;
}

BITKERF_INLINE Short* value_pair(const ShortBlock& block, const AttentionCache& cache, i64 position) {
  i64 key = position % kShortKeys, in_group = key % 32;
  i64 row = in_group % 16 / 4 * 4 + in_group / 16 * 2 + in_group % 4 / 2;
  return block.values + (key / 32 * 16 + row) * cache.value_cols * 2;
}

// ---- Storing

BITKERF_INLINE float store_key_scale(const ShortBlock& block, i64 position, const float* k, i64 head_dim, float limit) {
  float poison, m = magnitude_of(k, head_dim, 1.0f, poison);
  block.key_scales[position % kShortKeys] = m / limit + poison;
  return limit / m;
}

void store_short_keys(const ShortBlock& block, const AttentionCache& cache, const float* k, i64 k_stride, i64 position,
                      float limit) noexcept {  // 16 of them
  float inverses[16];
  for (i64 t = 0; t < 16; t++)
    inverses[t] = store_key_scale(block, position + t, k + t * k_stride, cache.head_dim, limit);
  Vec inverse = load(inverses);
  i64 dims = short_dims(cache.head_dim);
  Short* group = block.keys + position % kShortKeys / 16 * 16 * dims;
  for (i64 d = 0; d < cache.head_dim; d += 16) {
    Vec rows[16];
    for (i64 t = 0; t < 16; t++) rows[t] = bounded(load_up_to(k + t * k_stride + d, cache.head_dim - d));
    transpose(rows);
    for (i64 i = 0; i < 16; i++) rows[i] = mul(rows[i], inverse);
    for (i64 i = 0; i < 16 && d + i < dims; i += 2)
      store_ints(group + (d + i) * 16, pack_pairs(to_ints(rows[i]), to_ints(rows[i + 1])));
  }
}

void store_short_key(const ShortBlock& block, const AttentionCache& cache, const float* k, i64 position,
                     float limit) noexcept {
  Vec inverse = splat(store_key_scale(block, position, k, cache.head_dim, limit));
  i64 dims = short_dims(cache.head_dim);
  Short* lane = block.keys + position % kShortKeys / 16 * 16 * dims + position % 16 * 2;
  for (i64 d = 0; d < cache.head_dim; d += 16) {
    Short codes[16];
    store_short(codes, to_ints(mul(bounded(load_up_to(k + d, cache.head_dim - d)), inverse)));
    for (i64 i = 0; i < 16 && d + i < dims; i += 2) __builtin_memcpy(lane + (d + i) * 16, codes + i, 2 * sizeof(Short));
  }
}

BITKERF_INLINE Vec value_inverse(const ShortBlock& block, i64 position, const float* v, i64 value_dim) {
  float poison;
  Power power = power_of(magnitude_of(v, value_dim, 1.0f, poison));
  block.value_powers[position % kShortKeys] = power.exponent + poison;
  return splat(power.inverse);
}

void store_short_tokens(const AttentionCache& cache, const float* k, i64 k_stride, const float* v, i64 v_stride,
                        i64 position, i64 tokens) noexcept {
  float limit = key_limit(cache.head_dim);
  for (i64 t = 0; t < tokens;) {
    i64 p = position + t;
    ShortBlock block(cache, p);
    if (p % 16 == 0 && t + 16 <= tokens) {
      store_short_keys(block, cache, k + t * k_stride, k_stride, p, limit);
      t += 16;
    } else {
      store_short_key(block, cache, k + t * k_stride, p, limit);
      t++;
    }
  }
  for (i64 t = 0; t < tokens;) {
    i64 p = position + t;
    ShortBlock block(cache, p);
    Short* to = value_pair(block, cache, p);
    const float* row = v + t * v_stride;
    Vec inverse = value_inverse(block, p, row, cache.value_dim);
    auto codes = [&](const float* from, Vec by, i64 c) __attribute__((always_inline)) {
      return to_ints(mul(bounded(load_up_to(from + c, cache.value_dim - c)), by));
    };
    if (p % 2 == 0 && t + 2 <= tokens) {
      Vec other = value_inverse(block, p + 1, row + v_stride, cache.value_dim);
      for (i64 c = 0; c < cache.value_cols; c += 16)
        store_ints(to + 2 * c, pack_pairs(codes(row, inverse, c), codes(row + v_stride, other, c)));
      t += 2;
    } else {
      for (i64 c = 0; c < cache.value_cols; c += 16) {
        Short column[16];
        store_short(column, codes(row, inverse, c));
        for (i64 i = 0; i < 16; i++) to[2 * (c + i) + p % 2] = column[i];
      }
      t++;
    }
  }
}

// ---- Products

// sums (R, 16 N) of a (R, pairs, 2) times b (pairs, 16 N, 2); pair (i, 16 n) of b is at b + i b_step + n b_vec.
struct ShortProduct {
  const Short* a;
  i64 a_stride;
  const Short* b;
  i64 b_step, b_vec, pairs;
  float* c;
  i64 c_stride;
  const float *row_factors, *old_factors;  // per row
  const float *col_factors, *col_offsets;  // per column
  const Short* ahead;  // what will be read next, as much as this product reads: asked for along the way; may be null
};

// What becomes of the sums: scores (sum * col_factor * row_factor + col_offset), or values
// (c * old_factor + sum * row_factor).
enum class Result { scores, values };

template <Result kResult, int R, int N>
void short_product(const ShortProduct& p) noexcept {
  Ints sums[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) sums[r][n] = no_ints();
  const Short *a = p.a, *b = p.b;
  auto steps = [&](auto ahead) __attribute__((always_inline)) {
    for (i64 i = 0; i < p.pairs; i++) {
      Ints column[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) column[n] = load_ints(b + n * p.b_vec);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
        Ints x = splat_pair(a + r * p.a_stride);
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) sums[r][n] = dot_pairs(x, column[n], sums[r][n]);
      }
      a += 2;
      b += p.b_step;
      ahead();
    }
  };
  if (p.ahead) {
    const Short* next = p.ahead;
    steps([&]() __attribute__((always_inline)) {
      for (int n = 0; n < N; n++) __builtin_prefetch(next + 32 * n);
      next += 32 * N;
    });
  } else {
    steps([]() __attribute__((always_inline)) {});
  }
  if constexpr (kResult == Result::scores) {
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) {
      Vec factor = load(p.col_factors + 16 * n), offset = load(p.col_offsets + 16 * n);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++)
        store(p.c + r * p.c_stride + 16 * n, fma(mul(to_float(sums[r][n]), factor), splat(p.row_factors[r]), offset));
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      Vec factor = splat(p.row_factors[r]), old = splat(p.old_factors[r]);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) {
        float* c = p.c + r * p.c_stride + 16 * n;
        store(c, fma(to_float(sums[r][n]), factor, mul(load(c), old)));
      }
    }
  }
}

using ShortProductFunction = void (*)(const ShortProduct&) noexcept;
template <Result S, int R>
constexpr ShortProductFunction kShortProductsOfRows[4] = {
    short_product<S, R, 1>, short_product<S, R, vecs_in_tile(2)>, short_product<S, R, vecs_in_tile(3)>,
    short_product<S, R, vecs_in_tile(4)>};
template <Result S>
constexpr const ShortProductFunction* kShortProducts[6] = {
    kShortProductsOfRows<S, 1>, kShortProductsOfRows<S, rows_in_tile(2)>, kShortProductsOfRows<S, rows_in_tile(3)>,
    kShortProductsOfRows<S, rows_in_tile(4)>, kShortProductsOfRows<S, rows_in_tile(5)>,
    kShortProductsOfRows<S, rows_in_tile(6)>};

template <Result S>
BITKERF_INLINE void multiply_short(ShortProduct p, i64 rows, i64 vecs) {
  while (vecs > 0) {
    i64 now = smaller(vecs, kTileVecs);
    kShortProducts<S>[rows - 1][now - 1](p);
    p.b += now * p.b_vec;
    p.c += 16 * now;
    if (p.ahead) p.ahead += 32 * now * p.pairs;
    if (S == Result::scores) p.col_factors += 16 * now, p.col_offsets += 16 * now;
    vecs -= now;
  }
}

// ---- One tile

// What a worker needs for the rows and the block at hand; the order of attention_short_scratch().
struct ShortScratch {
  Short* q;          // (rows, dims up to a multiple of 16)
  float* q_scales;   // (rows up to a multiple of 16)
  float* span;       // a partial
  float* scores;     // (kTileRows, 128)
  Short* weights;    // (kTileRows, 128)
  float* inverses;   // (128): 2^-e of the block's values
};

// Scores of keys [16 first, 16 last) of a block become weights; sums take them in, and row_factors and old_factors say
// how the block's and the earlier values are to be merged.
template <bool kMasked>
BITKERF_INLINE void weigh_short(const AttentionTile& tile, i64 row, i64 rows, i64 block, i64 first, i64 last,
                                const ShortScratch& at, const Partial& into, float* row_factors, float* old_factors) {
  Vec none = splat(-kInfinity);
  float found[16], older[16], both[16], bases[16], new_bases[16];
  store(found, none), store(older, none), store(bases, zero()), store(new_bases, zero());
  if (!kMasked) first = 0, last = kShortGroups;
  for (i64 r = 0; r < rows; r++) {
    float* s = at.scores + r * kShortKeys;
    Range range = kMasked ? seen(tile, (row + r) / tile.heads, block, kShortKeys) : Range{0, kShortKeys};
    Vec most = none;
    for (i64 g = first; g < last; g++) {
      Vec x = load(s + 16 * g);
      if (kMasked) {
        x = select_range(range.first - 16 * g, range.last - 16 * g, x, none);
        store(s + 16 * g, x);
      }
      most = max(x, most);
    }
    found[r] = largest(most);
    older[r] = into.maxima[row + r];
    both[r] = older[r] > found[r] ? older[r] : found[r];
    into.maxima[row + r] = both[r];
    bases[r] = finite_base(found[r]);
    new_bases[r] = finite_base(both[r]);
  }
  store(old_factors, exp2(sub(load(older), load(new_bases))));
  store(row_factors, exp2(sub(load(found), load(new_bases))));
  for (i64 r = 0; r < rows; r++) {
    const float* s = at.scores + r * kShortKeys;
    Short* weights = at.weights + r * kShortKeys;
    Range range = kMasked ? seen(tile, (row + r) / tile.heads, block, kShortKeys) : Range{0, kShortKeys};
    Vec base = splat(bases[r]), total[2] = {zero(), zero()};
    for (i64 g = first; g < last; g += 2) {
      Ints codes[2];
      for (i64 i = 0; i < 2; i++) {
        Vec w = short_weight(sub(load(s + 16 * (g + i)), base)), inverse = load(at.inverses + 16 * (g + i));
        if (kMasked) {
          i64 from = range.first - 16 * (g + i), to = range.last - 16 * (g + i);
          w = select_range(from, to, w, zero());
          inverse = select_range(from, to, inverse, zero());
        }
        total[i] = fma(w, inverse, total[i]);
        codes[i] = to_ints(w);
      }
      store_ints(weights + 16 * g, pack_quarters(codes[0], codes[1]));
    }
    float* sums = into.sums + (row + r) * 16;
    store(sums, fma(add(total[0], total[1]), splat(row_factors[r]), mul(load(sums), splat(old_factors[r]))));
  }
}

// Folds one block of keys into rows [row, row + rows) of the partial. more: the next block should be on its way meanwhile.
void fold_short(const AttentionTile& tile, i64 row, i64 rows, i64 block, bool more, const ShortScratch& at,
                const Partial& into) noexcept {
  const AttentionCache& cache = tile.cache;
  Range low = seen(tile, row / tile.heads, block, kShortKeys);
  Range high = seen(tile, (row + rows - 1) / tile.heads, block, kShortKeys);
  if (low.first >= high.last) return;
  bool all = high.first == 0 && low.last == kShortKeys;
  i64 first_group = low.first / 32 * 2, last_group = (high.last + 31) / 32 * 2;
  i64 dims = short_dims(cache.head_dim), q_stride = round_up_16(dims);
  ShortBlock stored(cache, block), next(cache, block + kShortKeys);
  const Vec no_offset = zero();
  float zeros[kShortKeys];
  if (tile.softcap > 0)
    for (i64 i = 0; i < kShortKeys; i += 16) store(zeros + i, no_offset);
  float row_factors[16], old_factors[16];
  multiply_short<Result::scores>(
      {.a = at.q + row * q_stride, .a_stride = q_stride,
       .b = stored.keys + first_group * 16 * dims, .b_step = 32, .b_vec = 16 * dims, .pairs = dims / 2,
       .c = at.scores + first_group * 16, .c_stride = kShortKeys,
       .row_factors = at.q_scales + row, .old_factors = nullptr,
       .col_factors = stored.key_scales + first_group * 16,
       .col_offsets = tile.softcap > 0 ? zeros : stored.value_powers + first_group * 16,
       .ahead = more ? next.keys : nullptr},
      rows, last_group - first_group);
  if (tile.softcap > 0) {
    for (i64 r = 0; r < rows; r++)
      for (i64 i = first_group * 16; i < last_group * 16; i += 16) {
        float* s = at.scores + r * kShortKeys + i;
        store(s, fma(tanh(load(s)), splat(tile.softcap * kLog2E), load(stored.value_powers + i)));
      }
  }
  if (all) weigh_short<false>(tile, row, rows, block, first_group, last_group, at, into, row_factors, old_factors);
  else weigh_short<true>(tile, row, rows, block, first_group, last_group, at, into, row_factors, old_factors);
  multiply_short<Result::values>(
      {.a = at.weights + first_group * 16, .a_stride = kShortKeys,
       .b = stored.values + first_group * 16 * cache.value_cols, .b_step = 2 * cache.value_cols, .b_vec = 32,
       .pairs = (last_group - first_group) * 8, .c = into.values + row * cache.value_cols, .c_stride = cache.value_cols,
       .row_factors = row_factors, .old_factors = old_factors, .col_factors = nullptr, .col_offsets = nullptr,
       .ahead = more ? next.values : nullptr},
      rows, cache.value_cols / 16);
}

void encode_queries(const AttentionTile& tile, const ShortScratch& at) noexcept {
  i64 head_dim = tile.cache.head_dim, stride = round_up_16(short_dims(head_dim));
  float factor = tile.softcap > 0 ? tile.scale / tile.softcap : tile.scale * kLog2E, limit = key_limit(head_dim);
  for (i64 r = 0; r < tile.tokens * tile.heads; r++) {
    const float* from = tile.q + r / tile.heads * tile.q_stride + r % tile.heads * head_dim;
    // Heads side by side in rows far apart: no prefetcher of the processor sees the next token's.
    for (i64 i = 0; i < head_dim; i += 16) __builtin_prefetch(from + 2 * tile.q_stride + i);
    float poison, m = magnitude_of(from, head_dim, factor, poison);
    at.q_scales[r] = m / limit + poison;
    Vec inverse = splat(limit / m);
    for (i64 i = 0; i < head_dim; i += 16) {
      Vec x = bounded(mul(load_up_to(from + i, head_dim - i), splat(factor)));
      store_short(at.q + r * stride + i, to_ints(mul(x, inverse)));
    }
  }
}

void attend_short(const AttentionTile& tile, float* result) noexcept {
  const AttentionCache& cache = tile.cache;
  i64 rows = tile.tokens * tile.heads, value_cols = cache.value_cols;
  float* memory = tile.scratch;
  auto take = [&](i64 floats) {
    float* p = memory;
    memory += round_up_16(floats);
    return p;
  };
  ShortScratch at;
  at.q = reinterpret_cast<Short*>(take(rows * round_up_16(short_dims(cache.head_dim)) / 2));
  at.q_scales = take(rows);
  at.span = take(partial_floats(rows, value_cols));
  at.scores = take(kTileRows * kShortKeys);
  at.weights = reinterpret_cast<Short*>(take(kTileRows * kShortKeys / 2));
  at.inverses = take(kShortKeys);
  encode_queries(tile, at);

  Partial found(result, rows, value_cols);
  clear(found, rows, value_cols);
  i64 end = smaller(tile.last_key, tile.position + tile.tokens);
  i64 begin = tile.window > 0 ? bigger(tile.first_key, tile.position + 1 - tile.window) : tile.first_key;
  for (i64 span = begin / kSpanKeys * kSpanKeys; span < end; span += kSpanKeys) {
    bool first_span = span <= begin;
    Partial into(first_span ? result : at.span, rows, value_cols);
    if (!first_span) clear(into, rows, value_cols);
    i64 span_end = smaller(end, span + kSpanKeys);
    for (i64 block = bigger(span, begin / kShortKeys * kShortKeys); block < span_end; block += kShortKeys) {
      const float* powers = ShortBlock(cache, block).value_powers;
      for (i64 i = 0; i < kShortKeys; i += 16)
        store(at.inverses + i, scale_by_power(splat(1.0f), negate(load(powers + i))));
      bool more = block + kShortKeys < end;
      for (i64 row = 0; row < rows; row += kTileRows)
        fold_short(tile, row, smaller(kTileRows, rows - row), block, more && row == 0, at, into);
    }
    if (!first_span) merge_partials(result, at.span, rows, value_cols);
  }
}

}  // namespace
}  // namespace bitkerf
