#include "compress/backward/blocks.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/ops.h"

namespace bitkerf::backward {
namespace {

blasint narrow(i64 n) { return static_cast<blasint>(n); }

void sgemm(CBLAS_TRANSPOSE a_order, CBLAS_TRANSPOSE b_order, i64 m, i64 n, i64 k, float alpha, Matrix<const float> a, Matrix<const float> b,
           float beta, Matrix<float> c) noexcept {
  cblas_sgemm(CblasRowMajor, a_order, b_order, narrow(m), narrow(n), narrow(k), alpha, a.data, narrow(a.stride), b.data, narrow(b.stride), beta,
              c.data, narrow(c.stride));
}

// Queries whose scores are held at a time: rows of a triangle are cut into blocks, so that little of the masked half is
// computed (at 512 tokens 62 % of the square).
constexpr i64 kQueries = 128;

struct Block {
  i64 first, rows;      // queries
  i64 first_key, keys;  // that any of them sees
};
Block block_at(const AttentionShape& shape, i64 first, i64 tokens) {
  i64 rows = std::min(kQueries, tokens - first);
  i64 first_key = shape.window > 0 ? std::max<i64>(0, first - shape.window + 1) : 0;
  return {first, rows, first_key, first + rows - first_key};
}

// Weights of keys for the queries of one head, and their scores after the cap; both may be one matrix.
void weights_of(const AttentionShape& shape, const Block& b, Matrix<const float> q, Matrix<const float> k, Matrix<float> scores,
                Matrix<float> weights, Context& context) noexcept {
  sgemm(CblasNoTrans, CblasTrans, b.rows, b.keys, shape.head_dim, shape.scale, q.sub_rows(b.first, b.rows), k.sub_rows(b.first_key, b.keys), 0,
        scores);
  if (shape.softcap > 0) softcap(scores, shape.softcap, context);
  for (i64 r = 0; r < b.rows; r++) {
    i64 token = b.first + r, seen_first = shape.window > 0 ? std::max<i64>(0, token - shape.window + 1) : 0;
    auto first = static_cast<std::size_t>(seen_first - b.first_key), count = static_cast<std::size_t>(token + 1 - seen_first);
    std::span<float> row = weights.row_span(r);
    softmax(scores.row_span(r).subspan(first, count), row.subspan(first, count), context.isa);
    std::fill_n(row.begin(), first, 0.0f);
    std::fill(row.begin() + static_cast<std::ptrdiff_t>(first + count), row.end(), 0.0f);
  }
}

Matrix<const float> head_of(Matrix<const float> m, i64 head, i64 size) { return m.sub_cols(head * size, size); }
Matrix<float> head_of(Matrix<float> m, i64 head, i64 size) { return m.sub_cols(head * size, size); }

void fill_zero(Matrix<float> m) noexcept {
  for (i64 r = 0; r < m.rows; r++) std::fill_n(m.row(r), m.cols, 0.0f);
}

void silu_slope(float x, float& value, float& slope) noexcept {
  float s = 1 / (1 + std::exp(-x));
  value = x * s;
  slope = s * (1 + x * (1 - s));
}

// The tanh form, as gelu_gate() has it.
void gelu_slope(float x, float& value, float& slope) noexcept {
  constexpr float kRoot = std::numbers::sqrt2_v<float> * std::numbers::inv_sqrtpi_v<float>, kCube = 0.044715f;
  float t = std::tanh(kRoot * (x + kCube * x * x * x));
  value = 0.5f * x * (1 + t);
  slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * kRoot * (1 + 3 * kCube * x * x);
}

constexpr Gate kGates[] = {{silu_gate, silu_gate, silu_slope}, {gelu_gate, gelu_gate, gelu_slope}};

}  // namespace

void product(Matrix<const float> x, Matrix<const float> w, Matrix<float> y) noexcept {
  CHECK(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows);
  sgemm(CblasNoTrans, CblasTrans, x.rows, w.rows, w.cols, 1, x, w, 0, y);
}

void product_backward(Matrix<const float> d_y, Matrix<const float> w, Sum sum, Matrix<float> d_x) noexcept {
  CHECK(d_y.cols == w.rows && d_x.cols == w.cols && d_x.rows == d_y.rows);
  sgemm(CblasNoTrans, CblasNoTrans, d_y.rows, w.cols, w.rows, 1, d_y, w, sum == Sum::add ? 1 : 0, d_x);
}

void rms_norm_backward(Matrix<const float> x, std::span<const float> gain, float epsilon, Matrix<const float> d_y, Sum sum,
                       Matrix<float> d_x, std::span<double> d_gain) noexcept {
  for (i64 t = 0; t < x.rows; t++) {
    const float *row = x.row(t), *dy = d_y.row(t);
    float* dx = d_x.row(t);
    double squares = 0, along = 0;
    for (i64 i = 0; i < x.cols; i++) {
      squares += double{row[i]} * row[i];
      along += double{row[i]} * dy[i] * gain[static_cast<std::size_t>(i)];
    }
    double mean = squares / static_cast<double>(x.cols) + epsilon, factor = 1 / std::sqrt(mean);
    auto scale = static_cast<float>(factor), back = static_cast<float>(along / static_cast<double>(x.cols) / mean * factor);
    for (i64 i = 0; i < x.cols; i++) {
      auto c = static_cast<std::size_t>(i);
      d_gain[c] += dy[i] * row[i] * scale;
      float d = dy[i] * gain[c] * scale - row[i] * back;
      dx[i] = sum == Sum::add ? dx[i] + d : d;
    }
  }
}

void attention(const AttentionShape& shape, Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, Matrix<float> y,
               Context& context) noexcept {
  Arena::Scope scope(context.arena);
  float* memory = context.arena.take<float>(kQueries * q.rows);
  for (i64 head = 0; head < shape.heads; head++) {
    i64 kv = head / (shape.heads / shape.kv_heads);
    Matrix<const float> qh = head_of(q, head, shape.head_dim), kh = head_of(k, kv, shape.head_dim), vh = head_of(v, kv, shape.value_dim);
    Matrix<float> yh = head_of(y, head, shape.value_dim);
    for (i64 first = 0; first < q.rows; first += kQueries) {
      Block b = block_at(shape, first, q.rows);
      Matrix<float> weights(memory, b.rows, b.keys);
      weights_of(shape, b, qh, kh, weights, weights, context);
      sgemm(CblasNoTrans, CblasNoTrans, b.rows, shape.value_dim, b.keys, 1, weights, vh.sub_rows(b.first_key, b.keys), 0,
            yh.sub_rows(b.first, b.rows));
    }
  }
}

void attention_backward(const AttentionShape& shape, Matrix<const float> q, Matrix<const float> k, Matrix<const float> v,
                        Matrix<const float> d_y, Matrix<float> d_q, Matrix<float> d_k, Matrix<float> d_v, Context& context) noexcept {
  Arena::Scope scope(context.arena);
  float *of_scores = context.arena.take<float>(kQueries * q.rows), *of_weights = context.arena.take<float>(kQueries * q.rows),
        *of_changes = context.arena.take<float>(kQueries * q.rows);
  fill_zero(d_k);
  fill_zero(d_v);
  for (i64 head = 0; head < shape.heads; head++) {
    i64 kv = head / (shape.heads / shape.kv_heads);
    Matrix<const float> qh = head_of(q, head, shape.head_dim), kh = head_of(k, kv, shape.head_dim), vh = head_of(v, kv, shape.value_dim),
                        d_yh = head_of(d_y, head, shape.value_dim);
    Matrix<float> d_qh = head_of(d_q, head, shape.head_dim), d_kh = head_of(d_k, kv, shape.head_dim), d_vh = head_of(d_v, kv, shape.value_dim);
    for (i64 first = 0; first < q.rows; first += kQueries) {
      Block b = block_at(shape, first, q.rows);
      Matrix<float> scores(of_scores, b.rows, b.keys), weights(of_weights, b.rows, b.keys), changes(of_changes, b.rows, b.keys);
      weights_of(shape, b, qh, kh, scores, weights, context);
      Matrix<const float> d_out = d_yh.sub_rows(b.first, b.rows);
      sgemm(CblasNoTrans, CblasTrans, b.rows, b.keys, shape.value_dim, 1, d_out, vh.sub_rows(b.first_key, b.keys), 0, changes);
      for (i64 r = 0; r < b.rows; r++) {
        const float *w = weights.row(r), *s = scores.row(r);
        float* change = changes.row(r);
        float mean = 0;
        for (i64 j = 0; j < b.keys; j++) mean += w[j] * change[j];
        for (i64 j = 0; j < b.keys; j++) change[j] = w[j] * (change[j] - mean);
        if (shape.softcap > 0)
          for (i64 j = 0; j < b.keys; j++) change[j] *= 1 - (s[j] / shape.softcap) * (s[j] / shape.softcap);
      }
      sgemm(CblasNoTrans, CblasNoTrans, b.rows, shape.head_dim, b.keys, shape.scale, changes, kh.sub_rows(b.first_key, b.keys), 0,
            d_qh.sub_rows(b.first, b.rows));
      sgemm(CblasTrans, CblasNoTrans, b.keys, shape.head_dim, b.rows, shape.scale, changes, qh.sub_rows(b.first, b.rows), 1,
            d_kh.sub_rows(b.first_key, b.keys));
      sgemm(CblasTrans, CblasNoTrans, b.keys, shape.value_dim, b.rows, 1, weights, d_out, 1, d_vh.sub_rows(b.first_key, b.keys));
    }
  }
}

i64 attention_scratch(const AttentionShape&, i64 tokens) { return 3 * Arena::bytes_of<float>(kQueries * tokens); }

const Gate& gate_of(decltype(Gate::products) activation) {
  for (const Gate& gate : kGates)
    if (gate.products == activation) return gate;
  CHECK(!"an activation without a derivative: kGates wants a row");
  return kGates[0];
}

void gate_backward(const Gate& gate, Matrix<const float> g, Matrix<const float> up, Matrix<const float> d_y, Matrix<float> d_gate,
                   Matrix<float> d_up) noexcept {
  for (i64 t = 0; t < g.rows; t++) {
    const float *gt = g.row(t), *ut = up.row(t), *dy = d_y.row(t);
    float *dg = d_gate.row(t), *du = d_up.row(t);
    for (i64 i = 0; i < g.cols; i++) {
      float value, slope, d = dy[i];
      gate.value_and_slope(gt[i], value, slope);
      dg[i] = d * ut[i] * slope;
      du[i] = d * value;
    }
  }
}

}  // namespace bitkerf::backward
