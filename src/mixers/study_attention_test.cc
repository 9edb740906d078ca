#include "mixers/study_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/buffer.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> normal(i64 rows, i64 cols, std::mt19937& random) {
  std::normal_distribution<float> normal;
  OwnedMatrix<float> m(rows, cols);
  for (i64 i = 0; i < rows * cols; i++) m.view().data[i] = normal(random);
  return m;
}

// In runs of `at_once` tokens.
OwnedMatrix<float> attend(const Mixer& mixer, const OwnedMatrix<float>& q, const OwnedMatrix<float>& k, const OwnedMatrix<float>& v, i64 values, i64 at_once, int workers) {
  Threads threads(workers);
  Arena arena(mixer.scratch(at_once, q.rows()));
  Context context{threads, arena, chosen_isa()};
  auto state = mixer.state(q.rows());
  OwnedMatrix<float> y(q.rows(), values);
  for (i64 t = 0; t < q.rows(); t += at_once) {
    i64 n = std::min(at_once, q.rows() - t);
    Run run{0, n, t};
    MixerState* states[] = {state.get()};
    mixer.mix(q.view().sub_rows(t, n), k.view().sub_rows(t, n), v.view().sub_rows(t, n), {{&run, 1}, n}, states, y.view().sub_rows(t, n), context);
  }
  return y;
}

// Near to exact attention, as near as the products are; and the same bits in any chunks and with any threads.
TEST(StudyAttention, IsAttentionWithOtherProducts) {
  std::mt19937 random(1);
  AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 16, .value_dim = 16, .scale = 0.25f, .window = 9};
  OwnedMatrix<float> q = normal(21, 64, random), k = normal(21, 32, random), v = normal(21, 32, random);
  auto exact_mixer = make_attention(shape, CacheType::f32, 2);
  OwnedMatrix<float> exact = attend(*exact_mixer, q, k, v, 64, 21, 2);
  for (const ProductMode& mode : product_modes()) {
    auto mixer = make_study_attention(shape, mode);
    OwnedMatrix<float> y = attend(*mixer, q, k, v, 64, 21, 1);
    double error = 0, size = 0;
    for (i64 t = 0; t < 21; t++)
      for (i64 c = 0; c < 64; c++) error += std::pow(double{y(t, c)} - exact(t, c), 2), size += std::pow(double{exact(t, c)}, 2);
    EXPECT_LT(std::sqrt(error / size), 0.25) << mode.name;
    EXPECT_GT(error, 0) << mode.name;
    for (i64 at_once : {1, 5}) {
      OwnedMatrix<float> again = attend(*mixer, q, k, v, 64, at_once, 3);
      for (i64 t = 0; t < 21; t++)
        for (i64 c = 0; c < 64; c++) ASSERT_EQ(again(t, c), y(t, c)) << mode.name;
    }
  }
}

}  // namespace
}  // namespace bitkerf
