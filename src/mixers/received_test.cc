#include "mixers/received.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/buffer.h"

namespace bitkerf {
namespace {

// By the definition, in double.
std::vector<double> expected(const OwnedMatrix<float>& q, const OwnedMatrix<float>& k, const AttentionShape& shape) {
  std::vector<double> received(static_cast<std::size_t>(q.rows()));
  for (i64 h = 0; h < shape.heads; h++)
    for (i64 i = 0; i < q.rows(); i++) {
      std::vector<double> p;
      double sum = 0;
      for (i64 j = 0; j <= i; j++) {
        double s = 0;
        for (i64 d = 0; d < shape.head_dim; d++) s += double{q(i, h * shape.head_dim + d)} * k(j, h / (shape.heads / shape.kv_heads) * shape.head_dim + d);
        s *= shape.scale;
        if (shape.softcap > 0) s = shape.softcap * std::tanh(s / shape.softcap);
        p.push_back(std::exp(s)), sum += p.back();
      }
      for (i64 j = 0; j <= i; j++) received[static_cast<std::size_t>(j)] += p[static_cast<std::size_t>(j)] / sum / static_cast<double>(shape.heads * (q.rows() - j));
    }
  return received;
}

TEST(Received, IsTheMeanOfTheSoftmax) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (AttentionShape shape : {AttentionShape{.heads = 9, .kv_heads = 3, .head_dim = 64, .value_dim = 64, .scale = 0.125f},
                               AttentionShape{.heads = 2, .kv_heads = 1, .head_dim = 20, .value_dim = 8, .scale = 0.3f, .softcap = 5}})
    for (i64 tokens : {1, 7, 16, 33, 150}) {
      SCOPED_TRACE(tokens);
      OwnedMatrix<float> q(tokens, shape.heads * shape.head_dim), k(tokens, shape.kv_heads * shape.head_dim);
      for (i64 t = 0; t < tokens; t++) {
        for (i64 c = 0; c < q.cols(); c++) q(t, c) = normal(random);
        for (i64 c = 0; c < k.cols(); c++) k(t, c) = normal(random);
      }
      std::vector<double> want = expected(q, k, shape);
      std::vector<float> first;
      for (const IsaRow& isa : isas())
        for (int threads : {1, 2}) {
          if (!runs(isa.isa)) continue;
          Threads team(threads);
          Arena arena(attention_received_scratch(shape, tokens, threads));
          Context context{team, arena, isa.isa};
          std::vector<float> got(static_cast<std::size_t>(tokens));
          attention_received(q.view(), k.view(), shape, got.data(), context);
          for (std::size_t t = 0; t < got.size(); t++) ASSERT_NEAR(got[t], want[t], 1e-5 * want[t] + 1e-9) << t;
          if (first.empty()) first = got;
          EXPECT_EQ(std::memcmp(first.data(), got.data(), got.size() * 4), 0) << isa.name << " " << threads;
        }
    }
}

}  // namespace
}  // namespace bitkerf
