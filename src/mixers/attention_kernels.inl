// Kernels of mixers/attention_kernels.h, compiled once per instruction set by the three files that include this.
#include "core/simd.h"
#include "mixers/attention_kernels.h"

namespace bitkerf {
namespace {

using i64 = std::int64_t;
using Half = std::uint16_t;
using Short = std::int16_t;

constexpr float kLog2E = 1.44269504088896341f;
constexpr i64 kGroups = kBlockKeys / 16;

BITKERF_INLINE i64 smaller(i64 a, i64 b) { return a < b ? a : b; }
BITKERF_INLINE i64 bigger(i64 a, i64 b) { return a > b ? a : b; }

// Finite floats beyond a half's range become its largest numbers: an infinite value would turn 0 * value into NaN.
BITKERF_INLINE Vec representable(Vec a, const Half*) { return min(splat(65504.0f), max(splat(-65504.0f), a)); }
BITKERF_INLINE Vec representable(Vec a, const float*) { return a; }

// ---- The cache

template <class E>
BITKERF_INLINE E* keys_at(const AttentionCache& cache, i64 position) {  // of position's group of 16
  return static_cast<E*>(cache.blocks) + position / kBlockKeys * cache.block_stride +
         position % kBlockKeys / 16 * 16 * cache.head_dim;
}
template <class E>
BITKERF_INLINE E* value_at(const AttentionCache& cache, i64 position) {
  return static_cast<E*>(cache.blocks) + position / kBlockKeys * cache.block_stride + kBlockKeys * cache.head_dim +
         position % kBlockKeys * cache.value_cols;
}

template <class E>
void store_group(const AttentionCache& cache, const float* k, i64 k_stride, E* group) noexcept {
  for (i64 d = 0; d < cache.head_dim; d += 16) {
    Vec rows[16];
    for (i64 t = 0; t < 16; t++) rows[t] = load_up_to(k + t * k_stride + d, cache.head_dim - d);
    transpose(rows);
    for (i64 i = 0; i < 16 && d + i < cache.head_dim; i++) store(group + (d + i) * 16, representable(rows[i], group));
  }
}

template <class E>
void store_key(const AttentionCache& cache, const float* k, E* lane) noexcept {
  for (i64 d = 0; d < cache.head_dim; d += 16) {
    i64 count = smaller(16, cache.head_dim - d);
    E stored[16];
    store(stored, representable(load_up_to(k + d, count), stored));
    for (i64 i = 0; i < count; i++) lane[(d + i) * 16] = stored[i];
  }
}

template <class E>
void store_tokens(const AttentionCache& cache, const float* k, i64 k_stride, const float* v, i64 v_stride, i64 position,
                  i64 tokens) noexcept {
  for (i64 t = 0; t < tokens;) {
    i64 p = position + t;
    if (p % 16 == 0 && t + 16 <= tokens) {
      store_group(cache, k + t * k_stride, k_stride, keys_at<E>(cache, p));
      t += 16;
    } else {
      store_key(cache, k + t * k_stride, keys_at<E>(cache, p) + p % 16);
      t++;
    }
  }
  for (i64 t = 0; t < tokens; t++) {
    E* to = value_at<E>(cache, position + t);
    for (i64 c = 0; c < cache.value_cols; c += 16)
      store(to + c, representable(load_up_to(v + t * v_stride + c, cache.value_dim - c), to));
  }
}

// ---- Products

// c (R, 16 N) = c * factor (of each row; or zero) + a (R, depth) b (depth, 16 N), one chain per number in
// the order of depth. b: element (i, 16 n) is at b + i b_step + n b_vec.
template <class E>
struct Product {
  const float* a;
  i64 a_stride;
  const E* b;
  i64 b_step, b_vec, depth;
  const float* factors;
  float* c;
  i64 c_stride;
  const E* ahead;  // what will be read next, as much as this product reads: asked for along the way; may be null
};

// Bytes of b that one step of depth reads.
template <class E, int N>
constexpr int kReadBytes = N * 16 * static_cast<int>(sizeof(E));

enum class Start { zero, scaled };

template <class E, Start kStart, int R, int N>
void product(const Product<E>& p) noexcept {
  Vec c[R][N];
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++)
      c[r][n] = kStart == Start::scaled ? mul(load(p.c + r * p.c_stride + 16 * n), splat(p.factors[r])) : zero();
  const float* a = p.a;
  const E* b = p.b;
  auto steps = [&](auto ahead) __attribute__((always_inline)) {
    for (i64 i = 0; i < p.depth; i++) {
      Vec column[N];
      for (int n = 0; n < N; n++) column[n] = load(b + n * p.b_vec);
      for (int r = 0; r < R; r++) {
        Vec x = splat(a[r * p.a_stride + i]);
        for (int n = 0; n < N; n++) c[r][n] = fma(x, column[n], c[r][n]);
      }
      b += p.b_step;
      ahead(i);
    }
  };
  if (p.ahead) {
    const char* next = reinterpret_cast<const char*>(p.ahead);
    steps([&](i64) __attribute__((always_inline)) {
      for (int line = 0; line < kReadBytes<E, N>; line += 64) __builtin_prefetch(next + line);
      next += kReadBytes<E, N>;
    });
  } else {
    steps([](i64) __attribute__((always_inline)) {});
  }
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) store(p.c + r * p.c_stride + 16 * n, c[r][n]);
}

template <class E>
using ProductFunction = void (*)(const Product<E>&) noexcept;
// Sizes that this instruction set's tiles do not reach stay the smallest: they are never asked for.
constexpr int rows_in_tile(int rows) { return rows <= kTileRows ? rows : 1; }
constexpr int vecs_in_tile(int vecs) { return vecs <= kTileVecs ? vecs : 1; }
template <class E, Start S, int R>
constexpr ProductFunction<E> kProductsOfRows[4] = {
    product<E, S, R, 1>, product<E, S, R, vecs_in_tile(2)>, product<E, S, R, vecs_in_tile(3)>,
    product<E, S, R, vecs_in_tile(4)>};
template <class E, Start S>
constexpr const ProductFunction<E>* kProducts[6] = {
    kProductsOfRows<E, S, 1>, kProductsOfRows<E, S, rows_in_tile(2)>, kProductsOfRows<E, S, rows_in_tile(3)>,
    kProductsOfRows<E, S, rows_in_tile(4)>, kProductsOfRows<E, S, rows_in_tile(5)>,
    kProductsOfRows<E, S, rows_in_tile(6)>};

// The product of `rows` <= kTileRows rows and any number of vectors.
template <class E, Start S>
BITKERF_INLINE void multiply(Product<E> p, i64 rows, i64 vecs) {
  while (vecs > 0) {
    i64 now = smaller(vecs, kTileVecs);
    kProducts<E, S>[rows - 1][now - 1](p);
    p.b += now * p.b_vec;
    p.c += 16 * now;
    if (p.ahead) p.ahead += now * 16 * p.depth;
    vecs -= now;
  }
}

// ---- Partials

struct Partial {
  float *values, *sums, *maxima;  // (rows, value_cols), (rows, 16), (rows)
  Partial(float* memory, i64 rows, i64 value_cols)
      : values(memory), sums(memory + rows * value_cols), maxima(sums + rows * 16) {}
};

void clear(const Partial& p, i64 rows, i64 value_cols) noexcept {
  for (i64 i = 0; i < rows * value_cols; i += 16) store(p.values + i, zero());
  for (i64 r = 0; r < rows; r++) {
    store(p.sums + r * 16, zero());
    p.maxima[r] = -kInfinity;
  }
}

// 2^(maximum - base), where no key at all counts as zero.
BITKERF_INLINE float finite_base(float maximum) { return maximum == -kInfinity ? 0.0f : maximum; }

void merge_partials(float* into_memory, const float* from_memory, i64 rows, i64 value_cols) noexcept {
  Partial into(into_memory, rows, value_cols), from(const_cast<float*>(from_memory), rows, value_cols);
  for (i64 r = 0; r < rows; r++) {
    float a = into.maxima[r], b = from.maxima[r], both = a > b ? a : b, base = finite_base(both);
    Vec scale_a = exp2(splat(a - base)), scale_b = exp2(splat(b - base));
    auto add_to = [&](float* x, const float* y) { store(x, fma(load(y), scale_b, mul(load(x), scale_a))); };
    for (i64 c = 0; c < value_cols; c += 16) add_to(into.values + r * value_cols + c, from.values + r * value_cols + c);
    add_to(into.sums + r * 16, from.sums + r * 16);
    into.maxima[r] = both;
  }
}

void finish_rows(const float* memory, i64 tokens, i64 heads, i64 value_dim, float* y, i64 y_stride) noexcept {
  i64 value_cols = (value_dim + 15) / 16 * 16;
  Partial p(const_cast<float*>(memory), tokens * heads, value_cols);
  for (i64 t = 0; t < tokens; t++) {
    for (i64 h = 0; h < heads; h++) {
      i64 r = t * heads + h;
      Vec factor = splat(1.0f / sum(load(p.sums + r * 16)));
      float* to = y + t * y_stride + h * value_dim;
      for (i64 c = 0; c < value_dim; c += 16) __builtin_prefetch(to + 2 * y_stride + c, 1);
      for (i64 c = 0; c < value_dim; c += 16) {
        // + 0 turns -0 into 0: masked keys may have added a zero or not.
        Vec value = fma(load(p.values + r * value_cols + c), factor, zero());
        store_up_to(to + c, value, value_dim - c);
      }
    }
  }
}

// ---- One tile

// The keys of a block, relative to it, that some row sees.
struct Range { i64 first, last; };

BITKERF_INLINE Range seen(const AttentionTile& tile, i64 token, i64 block, i64 block_keys) {
  i64 position = tile.position + token;
  i64 last = smaller(position + 1, tile.last_key) - block;
  i64 first = tile.window > 0 ? bigger(0, position + 1 - tile.window - block) : 0;
  return {first, smaller(last, block_keys)};
}

// Scores (rows, 64) become weights 2^(score - maximum); sums and maxima take them in. `factors` get what the rows'
// earlier values must be multiplied by.
template <bool kMasked>
BITKERF_INLINE void weigh(const AttentionTile& tile, i64 row, i64 rows, i64 block, float* scores, const Partial& into,
                          float* factors) {
  Vec before = splat(-kInfinity);
  float bases[16], older[16];
  store(older, before);
  store(bases, zero());
  for (i64 r = 0; r < rows; r++) {
    float* s = scores + r * kBlockKeys;
    Vec x[kGroups];
    Range range = kMasked ? seen(tile, (row + r) / tile.heads, block, kBlockKeys) : Range{0, kBlockKeys};
    for (i64 g = 0; g < kGroups; g++) {
      x[g] = load(s + 16 * g);
      if (tile.softcap > 0) x[g] = mul(tanh(x[g]), splat(tile.softcap * kLog2E));
      if (kMasked) x[g] = select_range(range.first - 16 * g, range.last - 16 * g, x[g], splat(-kInfinity));
      if (kMasked || tile.softcap > 0) store(s + 16 * g, x[g]);
    }
    float found = largest(max(max(x[0], x[1]), max(x[2], x[3])));
    older[r] = into.maxima[row + r];
    float both = older[r] > found ? older[r] : found;
    into.maxima[row + r] = both;
    bases[r] = finite_base(both);
  }
  store(factors, exp2(sub(load(older), load(bases))));
  for (i64 r = 0; r < rows; r++) {
    float* s = scores + r * kBlockKeys;
    Vec p[kGroups];
    for (i64 g = 0; g < kGroups; g++) {
      p[g] = exp2(sub(load(s + 16 * g), splat(bases[r])));
      store(s + 16 * g, p[g]);
    }
    float* sums = into.sums + (row + r) * 16;
    store(sums, fma(load(sums), splat(factors[r]), add(add(p[0], p[1]), add(p[2], p[3]))));
  }
}

// Folds one block of keys into rows [row, row + rows) of the partial. keys, values: the block's; next: the block after
// it, if it should be on its way meanwhile.
template <class E>
void fold(const AttentionTile& tile, const float* q, i64 row, i64 rows, i64 block, const E* keys, const E* values,
          const E* next_keys, const E* next_values, float* scores, const Partial& into) noexcept {
  const AttentionCache& cache = tile.cache;
  i64 first_token = row / tile.heads, last_token = (row + rows - 1) / tile.heads;
  Range low = seen(tile, first_token, block, kBlockKeys), high = seen(tile, last_token, block, kBlockKeys);
  Range any{low.first, high.last};
  if (any.first >= any.last) return;
  bool all = high.first == 0 && low.last == kBlockKeys;
  i64 first_group = any.first / 16, last_group = (any.last + 15) / 16;
  float factors[16];
  multiply<E, Start::zero>({.a = q + row * cache.head_dim, .a_stride = cache.head_dim,
               .b = keys + first_group * 16 * cache.head_dim, .b_step = 16, .b_vec = 16 * cache.head_dim,
               .depth = cache.head_dim, .factors = nullptr, .c = scores + first_group * 16, .c_stride = kBlockKeys,
               .ahead = next_keys},
              rows, last_group - first_group);
  if (all) weigh<false>(tile, row, rows, block, scores, into, factors);
  else weigh<true>(tile, row, rows, block, scores, into, factors);
  multiply<E, Start::scaled>({.a = scores + any.first, .a_stride = kBlockKeys,
               .b = values + any.first * cache.value_cols, .b_step = cache.value_cols, .b_vec = 16,
               .depth = any.last - any.first, .factors = factors, .c = into.values + row * cache.value_cols,
               .c_stride = cache.value_cols, .ahead = next_values},
              rows, cache.value_cols / 16);
}

BITKERF_INLINE void to_floats(const Half* from, float* to, i64 count) {
  for (i64 i = 0; i < count; i += 16) store(to + i, load(from + i));
}

template <class E>
constexpr bool kIsHalf = false;
template <>
constexpr bool kIsHalf<Half> = true;

template <class E>
void attend_tile(const AttentionTile& tile, float* result) noexcept {
  const AttentionCache& cache = tile.cache;
  i64 rows = tile.tokens * tile.heads, value_cols = cache.value_cols;
  float* memory = tile.scratch;
  auto take = [&](i64 floats) {
    float* p = memory;
    memory += (floats + 15) / 16 * 16;
    return p;
  };
  float* q = take(rows * cache.head_dim);
  float* keys = take(kBlockKeys * cache.head_dim);
  float* values = take(kBlockKeys * value_cols);
  float* scores = take(kTileRows * kBlockKeys);
  float* span_memory = take(partial_floats(rows, value_cols));

  // Scores come out in powers of two, or as the argument of the cap's tanh.
  Vec factor = splat(tile.softcap > 0 ? tile.scale / tile.softcap : tile.scale * kLog2E);
  for (i64 t = 0; t < tile.tokens; t++) {
    i64 n = tile.heads * cache.head_dim;
    for (i64 i = 0; i < n; i += 16)
      store_up_to(q + t * n + i, mul(load_up_to(tile.q + t * tile.q_stride + i, n - i), factor), n - i);
  }
  // Rows outside a masked block's groups are read as scores before they are replaced: any number will do.
  for (i64 i = 0; i < kTileRows * kBlockKeys; i += 16) store(scores + i, zero());

  Partial found(result, rows, value_cols);
  clear(found, rows, value_cols);
  i64 end = smaller(tile.last_key, tile.position + tile.tokens);
  i64 begin = tile.window > 0 ? bigger(tile.first_key, tile.position + 1 - tile.window) : tile.first_key;
  bool convert = kIsHalf<E> && rows > kTileRows;
  for (i64 span = begin / kSpanKeys * kSpanKeys; span < end; span += kSpanKeys) {
    bool first_span = span <= begin;
    Partial into(first_span ? result : span_memory, rows, value_cols);
    if (!first_span) clear(into, rows, value_cols);
    i64 span_end = smaller(end, span + kSpanKeys);
    for (i64 block = bigger(span, begin / kBlockKeys * kBlockKeys); block < span_end; block += kBlockKeys) {
      const E* stored_keys = keys_at<E>(cache, block);
      const E* stored_values = value_at<E>(cache, block);
      if constexpr (kIsHalf<E>) {
        if (convert) {
          i64 count = smaller(kBlockKeys, end - block);
          to_floats(stored_keys, keys, (count + 15) / 16 * 16 * cache.head_dim);
          to_floats(stored_values, values, count * value_cols);
        }
      }
      for (i64 row = 0; row < rows; row += kTileRows) {
        i64 now = smaller(kTileRows, rows - row);
        if (convert) {
          fold<float>(tile, q, row, now, block, keys, values, nullptr, nullptr, scores, into);
        } else {
          i64 next = block + kBlockKeys;
          bool ahead = row == 0 && next < end;
          fold<E>(tile, q, row, now, block, stored_keys, stored_values, ahead ? keys_at<E>(cache, next) : nullptr,
                  ahead ? value_at<E>(cache, next) : nullptr, scores, into);
        }
      }
    }
    if (!first_span) merge_partials(result, span_memory, rows, value_cols);
  }
}

}  // namespace
}  // namespace bitkerf

#include "mixers/attention_int16.inl"

namespace bitkerf {

const AttentionKernels BITKERF_TABLE[] = {
    {.store = store_tokens<Half>, .attend = attend_tile<Half>, .merge = merge_partials, .finish = finish_rows},
    {.store = store_tokens<float>, .attend = attend_tile<float>, .merge = merge_partials, .finish = finish_rows},
    {.store = store_short_tokens, .attend = attend_short, .merge = merge_partials, .finish = finish_rows},
};

}  // namespace bitkerf
