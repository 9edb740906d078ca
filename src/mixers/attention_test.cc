#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/float16.h"
#include "mixers/attention_cache.h"
#include "mixers/mixer.h"

namespace bitkerf {
namespace {

constexpr double kEpsilon = 0x1p-24;

struct Case {
  const char* name;
  AttentionShape shape;
  CacheType cache;
  i64 tokens;
};
constexpr float kNoScale = 0;  // 1/sqrt(head_dim)
// Lengths cross blocks (64) and spans (256); dimensions and windows lie around multiples of 16 and 64.
const Case kCases[] = {
    {"SmolLM2", {9, 3, 64, 64, kNoScale, 0, 0}, CacheType::f16, 600},
    {"Gemma3 sliding", {4, 1, 256, 256, kNoScale, 0, 512}, CacheType::f16, 700},
    {"Gemma2 capped", {8, 4, 24, 24, 0.2f, 5.0f, 0}, CacheType::f32, 300},
    {"every head its own", {3, 3, 80, 80, kNoScale, 0, 0}, CacheType::f32, 270},
    {"8 heads a key", {8, 1, 96, 128, kNoScale, 0, 63}, CacheType::f16, 330},
    {"odd dimensions", {4, 2, 7, 19, 0.4f, 0, 65}, CacheType::f32, 200},
    {"one dimension", {1, 1, 1, 1, 1.0f, 0, 0}, CacheType::f16, 130},
    {"SmolLM2, int16", {9, 3, 64, 64, kNoScale, 0, 0}, CacheType::int16, 600},
    {"Gemma3 sliding, int16", {4, 1, 256, 256, kNoScale, 0, 512}, CacheType::int16, 700},
    {"Gemma2 capped, int16", {8, 4, 24, 24, 0.2f, 5.0f, 0}, CacheType::int16, 300},
    {"8 heads a key, int16", {8, 1, 96, 128, kNoScale, 0, 63}, CacheType::int16, 330},
    {"odd dimensions, int16", {4, 2, 7, 19, 0.4f, 0, 65}, CacheType::int16, 200},
    {"one dimension, int16", {1, 1, 1, 1, 1.0f, 0, 0}, CacheType::int16, 130},
    {"window 257, int16", {3, 1, 16, 48, kNoScale, 0, 257}, CacheType::int16, 600},
    {"window 1", {2, 1, 16, 16, kNoScale, 0, 1}, CacheType::f32, 70},
    {"window 64", {2, 1, 16, 16, kNoScale, 3.0f, 64}, CacheType::f16, 300},
    {"window 257", {3, 1, 16, 48, kNoScale, 0, 257}, CacheType::f16, 600},
};

AttentionShape shape_of(const Case& c) {
  AttentionShape s = c.shape;
  if (s.scale == kNoScale) s.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_dim)));
  return s;
}

std::vector<Isa> paths() {
  std::vector<Isa> list;
  for (const IsaRow& row : isas())
    if (runs(row.isa)) list.push_back(row.isa);
  return list;
}

bool same_bits(Matrix<const float> a, Matrix<const float> b) {
  for (i64 r = 0; r < a.rows; r++)
    for (i64 c = 0; c < a.cols; c++)
      if (std::bit_cast<std::uint32_t>(a(r, c)) != std::bit_cast<std::uint32_t>(b(r, c))) return false;
  return a.rows == b.rows && a.cols == b.cols;
}

// One sequence's inputs.
struct Inputs {
  OwnedMatrix<float> q, k, v;
  Inputs(const AttentionShape& s, i64 tokens, unsigned seed)
      : q(tokens, s.heads * s.head_dim), k(tokens, s.kv_heads * s.head_dim), v(tokens, s.kv_heads * s.value_dim) {
    std::mt19937 random(seed);
    std::normal_distribution<float> draw(0, 1);
    for (OwnedMatrix<float>* m : {&q, &k, &v})
      for (i64 i = 0; i < m->rows() * m->cols(); i++) m->view().data[i] = draw(random);
    // Scores of some keys stand out, and later ones more: running maxima change along the way.
    for (i64 t = 0; t < tokens; t += 37)
      for (i64 c = 0; c < k.cols(); c++) k(t, c) *= 3;
  }
  i64 tokens() const { return q.rows(); }
};

// A mixer with everything that a call needs. The arena holds exactly what scratch() asks for.
class Runner {
 public:
  Runner(const AttentionShape& shape, CacheType cache, int threads, Isa isa, i64 batch_tokens, i64 max_tokens)
      : mixer_(make_attention(shape, cache, threads)), threads_(threads),
        arena_(mixer_->scratch(batch_tokens, max_tokens)), context_{threads_, arena_, isa} {}
  const Mixer& mixer() const { return *mixer_; }
  // Continues one sequence with rows [first, first + tokens) of the inputs.
  void feed(const Inputs& in, MixerState* state, i64 first, i64 tokens, Matrix<float> y) {
    Run run{0, tokens, first};
    Batch batch{{&run, 1}, tokens};
    mixer_->mix(in.q.view().sub_rows(first, tokens), in.k.view().sub_rows(first, tokens),
                in.v.view().sub_rows(first, tokens), batch, {&state, 1}, y.sub_rows(first, tokens), context_);
  }
  Context& context() { return context_; }

 private:
  std::unique_ptr<Mixer> mixer_;
  Threads threads_;
  Arena arena_;
  Context context_;
};

OwnedMatrix<float> in_chunks(const Case& c, const Inputs& in, int threads, Isa isa, i64 chunk) {
  AttentionShape shape = shape_of(c);
  Runner runner(shape, c.cache, threads, isa, std::min(chunk, in.tokens()), in.tokens());
  std::unique_ptr<MixerState> state = runner.mixer().state(in.tokens());
  OwnedMatrix<float> y(in.tokens(), shape.heads * shape.value_dim);
  for (i64 t = 0; t < in.tokens(); t += chunk) runner.feed(in, state.get(), t, std::min(chunk, in.tokens() - t), y.view());
  EXPECT_EQ(state->tokens(), in.tokens());
  return y;
}

float stored(float x, CacheType cache) { return cache == CacheType::f16 ? f16_to_f32(f32_to_f16(x)) : x; }

double sum_of(const float* x, i64 n) {
  double sum = 0;
  for (i64 i = 0; i < n; i++) sum += std::abs(double{x[i]});
  return sum;
}
double most_of(const float* x, i64 n) {
  double most = 0;
  for (i64 i = 0; i < n; i++) most = std::max(most, std::abs(double{x[i]}));
  return most;
}
// The step between the codes of a value row whose largest number is m: m / step is in [2^10, 2^11).
double value_step(double m) { return std::exp2(std::floor(std::log2(m)) - 10); }

// How far rounding to integers can move one output of an int16 cache: token t, query head h, key-value head kv,
// dimension d; weights of keys first .. t (sum 1).
double rounding_to_int16(const AttentionShape& s, const Inputs& in, i64 t, i64 h, i64 kv, i64 d, i64 first,
                         const std::vector<double>& weights) {
  double limit = std::min(32767.0, std::floor(std::sqrt(0x1p31 / static_cast<double>(s.head_dim))) - 1);
  const float* q = &in.q.view()(t, h * s.head_dim);
  double q_sum = sum_of(q, s.head_dim), q_most = most_of(q, s.head_dim), score = 0, values = 0, size = 0;
  for (i64 key = first; key <= t; key++) {
    const float* k = &in.k.view()(key, kv * s.head_dim);
    double k_most = most_of(k, s.head_dim);
    // Half a step of every key times the query, and the other way round; and both halves.
    score = std::max(score, s.scale * (q_sum * k_most + sum_of(k, s.head_dim) * q_most +
                                       static_cast<double>(s.head_dim) * k_most * q_most / limit) / (2 * limit));
  }
  for (i64 block = first / 128 * 128; block <= t; block += 128) {
    double largest = 0, of_steps = 0;  // weight * step; value / step
    for (i64 key = std::max(first, block); key <= std::min(t, block + 127); key++) {
      double weight = weights[static_cast<std::size_t>(key - first)], value = std::abs(double{in.v(key, kv * s.value_dim + d)});
      double step = value_step(most_of(&in.v.view()(key, kv * s.value_dim), s.value_dim));
      values += weight * step / 2;
      size += weight * value;
      largest = std::max(largest, weight * step);
      of_steps += value / step + 0.5;
    }
    values += largest / 8191 / 2 * of_steps;  // half a code of every weight
  }
  // Of the weights: the score's error in numerator and denominator, and the polynomial's.
  return (2 * std::expm1(score) + 0x1p-16) * size + values;
}

TEST(Attention, AgreesWithDouble) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    AttentionShape s = shape_of(c);
    Inputs in(s, c.tokens, 1);
    OwnedMatrix<float> y = in_chunks(c, in, 2, paths().back(), c.tokens);
    for (i64 t = 0; t < c.tokens; t++) {
      for (i64 h = 0; h < s.heads; h++) {
        i64 kv = h / (s.heads / s.kv_heads), first = s.window > 0 ? std::max<i64>(0, t + 1 - s.window) : 0;
        std::vector<double> scores;
        double largest = -HUGE_VAL, size = 0, sum = 0;
        for (i64 key = first; key <= t; key++) {
          double dot = 0, absolute = 0;
          for (i64 d = 0; d < s.head_dim; d++) {
            double term = static_cast<double>(in.q(t, h * s.head_dim + d)) * stored(in.k(key, kv * s.head_dim + d), c.cache);
            dot += term;
            absolute += std::abs(term);
          }
          size = std::max(size, absolute * s.scale);
          scores.push_back(s.softcap > 0 ? s.softcap * std::tanh(dot * s.scale / s.softcap) : dot * s.scale);
          largest = std::max(largest, scores.back());
        }
        for (double& score : scores) sum += score = std::exp(score - largest);
        for (i64 d = 0; d < s.value_dim; d++) {
          double exact = 0, absolute = 0, rounding = 0;
          if (c.cache == CacheType::int16 && (t * 7 + h * 3 + d) % 101 == 0) {
            std::vector<double> weights = scores;
            for (double& weight : weights) weight /= sum;
            rounding = rounding_to_int16(s, in, t, h, kv, d, first, weights);
          } else if (c.cache == CacheType::int16) {
            continue;  // the bound costs more than attention
          }
          for (i64 key = first; key <= t; key++) {
            double term = scores[static_cast<std::size_t>(key - first)] / sum * stored(in.v(key, kv * s.value_dim + d), c.cache);
            exact += term;
            absolute += std::abs(term);
          }
          // A score is off by (chain length + rounding of q, shift and result) units of its terms' sizes, which is
          // the relative error of its weight, in numerator and denominator; the values' chain is the keys' number.
          double keys = static_cast<double>(t + 1 - first);
          double units = 2 * (static_cast<double>(s.head_dim) + 8) * size + 8 * s.softcap + keys + 64;
          ASSERT_NEAR(y(t, h * s.value_dim + d), exact, units * kEpsilon * absolute + rounding + 1e-37) << t << " " << h << " " << d;
        }
      }
    }
  }
}

// Error against the float cache, root of the mean square: int16 rounds queries too and has an even step where a half
// float has an even precision, and is allowed 3 times as much (measured: 0.6 to 2.5).
TEST(Attention, Int16IsNearlyAsExactAsHalfFloats) {
  for (const Case& c : kCases) {
    if (c.cache != CacheType::int16) continue;
    Inputs in(shape_of(c), c.tokens, 6);
    auto run = [&](CacheType cache) {
      Case other = c;
      other.cache = cache;
      return in_chunks(other, in, 2, paths().back(), c.tokens);
    };
    OwnedMatrix<float> exact = run(CacheType::f32), half = run(CacheType::f16), integers = run(CacheType::int16);
    double half_error = 0, error = 0;
    for (i64 i = 0; i < exact.rows() * exact.cols(); i++) {
      half_error += std::pow(half.view().data[i] - exact.view().data[i], 2);
      error += std::pow(integers.view().data[i] - exact.view().data[i], 2);
    }
    EXPECT_LT(std::sqrt(error), 3 * std::sqrt(half_error)) << c.name;
  }
}

TEST(Attention, SameBitsOnEveryPathInAnyChunksWithAnyThreads) {
  for (const Case& c : kCases) {
    Inputs in(shape_of(c), c.tokens, 2);
    OwnedMatrix<float> judge = in_chunks(c, in, 1, Isa::portable, c.tokens);
    for (Isa isa : paths())
      for (i64 chunk : {1, 7, 64, 512}) {
        for (int threads : {1, 2, 3}) {
          // The fastest path in every combination, the others in two; three threads once, since they crowd small machines.
          if (isa != paths().back() && (threads != 1 || (chunk != 7 && (chunk != 1 || isa == Isa::portable)))) continue;
          if (threads == 3 && chunk != 7) continue;
          OwnedMatrix<float> y = in_chunks(c, in, threads, isa, chunk);
          EXPECT_TRUE(same_bits(judge.view(), y.view()))
              << c.name << ", " << row_of(isa).name << ", chunk " << chunk << ", threads " << threads;
        }
      }
  }
}

// Eight sequences at different positions, some with one token and some with more, against each alone.
TEST(Attention, SameBitsInABatch) {
  for (const Case& c : kCases) {
    AttentionShape s = shape_of(c);
    for (i64 most : {1, 30}) {
      std::vector<Inputs> inputs;
      std::vector<bitkerf::Run> runs;  // testing::Test has a Run too
      i64 rows = 0;
      for (unsigned i = 0; i < 8; i++) {
        inputs.emplace_back(s, c.tokens, 10 + i);
        i64 tokens = std::min<i64>(c.tokens, 1 + (i * 11) % most), position = (c.tokens - tokens) * i / 7;
        runs.push_back({rows, tokens, position});
        rows += tokens;
      }
      Runner runner(s, c.cache, 2, paths().back(), std::max(rows, c.tokens), c.tokens);
      std::vector<std::unique_ptr<MixerState>> states, alone_states;
      std::vector<MixerState*> pointers;
      OwnedMatrix<float> q(rows, s.heads * s.head_dim), k(rows, s.kv_heads * s.head_dim), v(rows, s.kv_heads * s.value_dim);
      OwnedMatrix<float> y(rows, s.heads * s.value_dim), alone(rows, s.heads * s.value_dim);
      OwnedMatrix<float> history(c.tokens, s.heads * s.value_dim);
      for (std::size_t i = 0; i < 8; i++) {
        const Inputs& in = inputs[i];
        states.push_back(runner.mixer().state(c.tokens));
        pointers.push_back(states.back().get());
        std::unique_ptr<MixerState> own = runner.mixer().state(c.tokens);
        for (MixerState* state : {states.back().get(), own.get()})
          if (runs[i].position > 0) runner.feed(in, state, 0, runs[i].position, history.view());
        runner.feed(in, own.get(), runs[i].position, runs[i].tokens, history.view());
        for (i64 t = 0; t < runs[i].tokens; t++) {
          auto copy_row = [&](const OwnedMatrix<float>& from, OwnedMatrix<float>& to) {
            std::copy_n(from.view().row(runs[i].position + t), from.cols(), to.view().row(runs[i].first + t));
          };
          copy_row(in.q, q), copy_row(in.k, k), copy_row(in.v, v), copy_row(history, alone);
        }
      }
      Batch batch{runs, rows};
      runner.mixer().mix(q.view(), k.view(), v.view(), batch, pointers, y.view(), runner.context());
      EXPECT_TRUE(same_bits(alone.view(), y.view())) << c.name << ", up to " << most << " tokens";
    }
  }
}

TEST(Attention, RollbackThenRefeedIsTheSame) {
  for (const Case& c : kCases) {
    AttentionShape s = shape_of(c);
    Inputs in(s, c.tokens, 3), other(s, c.tokens, 4);
    OwnedMatrix<float> judge = in_chunks(c, in, 2, paths().back(), c.tokens), y(c.tokens, judge.cols());
    Runner runner(s, c.cache, 2, paths().back(), c.tokens, c.tokens);
    std::unique_ptr<MixerState> state = runner.mixer().state(c.tokens);
    i64 kept = c.tokens / 2 - 3;
    // The forgotten tokens were large and not finite.
    for (i64 i = kept; i < c.tokens; i++) other.k(i, 0) = HUGE_VALF, other.v(i, 0) = std::nanf("");
    runner.feed(in, state.get(), 0, kept, y.view());
    runner.feed(other, state.get(), kept, c.tokens - kept, y.view());
    state->truncate(kept);
    EXPECT_EQ(state->tokens(), kept);
    state->truncate(c.tokens);
    EXPECT_EQ(state->tokens(), kept);
    runner.feed(in, state.get(), kept, c.tokens - kept, y.view());
    EXPECT_TRUE(same_bits(judge.view(), y.view())) << c.name;
  }
}

// A value of the future may be anything a float can be, without a trace in earlier tokens of the same tile.
TEST(Attention, LaterTokensLeaveNoTrace) {
  for (const Case& c : kCases) {
    AttentionShape s = shape_of(c);
    Inputs in(s, c.tokens, 5);
    OwnedMatrix<float> judge = in_chunks(c, in, 2, paths().back(), c.tokens);
    i64 last = c.tokens - 1;
    for (i64 i = 0; i < in.k.cols(); i++) in.k(last, i) = 1e30f;
    for (i64 i = 0; i < in.v.cols(); i++) in.v(last, i) = -3e38f;
    OwnedMatrix<float> y = in_chunks(c, in, 2, paths().back(), c.tokens);
    EXPECT_TRUE(same_bits(judge.view().sub_rows(0, last), y.view().sub_rows(0, last))) << c.name;
  }
}

TEST(Attention, CacheHasTheSizeItSays) {
  std::unique_ptr<Mixer> mixer = make_attention({9, 3, 64, 60, 1, 0, 0}, CacheType::f16, 2);
  // A million tokens are address space only.
  std::unique_ptr<MixerState> state = mixer->state(1 << 20);
  EXPECT_EQ(state->bytes_per_token(), 3 * (64 + 64) * 2);
  EXPECT_EQ(state->tokens(), 0);
  EXPECT_THROW(mixer->state(i64{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace bitkerf
