#include "compress/calibration/statistics.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace bitkerf {
namespace {

std::shared_ptr<InputStatistics> example(i64 cols, float seed) {
  auto s = std::make_shared<InputStatistics>();
  s->tokens = 7;
  s->moment = OwnedMatrix<float>(cols, cols);
  for (i64 r = 0; r < cols; r++)
    for (i64 c = r; c < cols; c++) s->moment(r, c) = s->moment(c, r) = seed + static_cast<float>(r * cols + c) / 3;
  s->mean.assign(static_cast<std::size_t>(cols), seed);
  s->largest.assign(static_cast<std::size_t>(cols), seed + 1);
  return s;
}

std::string temporary(const char* name) { return (std::filesystem::path(testing::TempDir()) / name).string(); }

TEST(Statistics, ComeBackFromAFile) {
  Statistics s;
  s.inputs["blk.0.attn_q"] = s.inputs["blk.0.attn_k"] = example(5, 1);
  s.inputs["blk.0.ffn_down"] = example(1, 2);
  auto diagonal = std::make_shared<InputStatistics>();
  diagonal->tokens = 3;
  diagonal->moment = OwnedMatrix<float>(1, 4);
  for (i64 c = 0; c < 4; c++) diagonal->moment(0, c) = static_cast<float>(c);
  s.inputs["output"] = diagonal;
  s.gradient["blk.0.attn_q"] = {1, 2, 3};
  s.weighed["blk.0.attn_k"] = example(5, 3);
  s.origin = "a model and a text";
  s.windows = 9;
  std::string path = temporary("statistics.gguf");
  save_statistics(path, s);
  Statistics t = load_statistics(path);
  ASSERT_EQ(t.inputs.size(), 4u);
  EXPECT_EQ(t.inputs["blk.0.attn_q"], t.inputs["blk.0.attn_k"]);  // one object
  for (const auto& [name, input] : s.inputs) {
    const InputStatistics* read = t.input_of(name);
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(read->tokens, input->tokens);
    ASSERT_EQ(read->cols(), input->cols());
    ASSERT_EQ(read->moment.rows(), input->moment.rows());
    for (i64 r = 0; r < read->moment.rows(); r++)
      for (i64 c = 0; c < read->cols(); c++) EXPECT_EQ(read->moment(r, c), input->moment(r, c));
    EXPECT_EQ(read->mean, input->mean);
    EXPECT_EQ(read->largest, input->largest);
  }
  EXPECT_TRUE(t.input_of("output")->diagonal_only());
  EXPECT_EQ(t.input_of("blk.1.attn_q"), nullptr);
  EXPECT_EQ(t.gradient, s.gradient);
  EXPECT_EQ(t.rounding_input_of("blk.0.attn_q"), t.input_of("blk.0.attn_q"));
  EXPECT_NE(t.rounding_input_of("blk.0.attn_k"), t.input_of("blk.0.attn_k"));
  EXPECT_EQ(t.rounding_input_of("blk.0.attn_k")->moment(1, 2), s.weighed["blk.0.attn_k"]->moment(1, 2));
  EXPECT_EQ(t.origin, s.origin);
  EXPECT_EQ(t.windows, 9);
}

TEST(Statistics, ReadGgufImatrix) {
  std::vector<float> sums{2, 4, 6, 10, 20, 30}, counts{1, 3};
  auto tensor = [](std::string name, const std::vector<float>& v, std::vector<i64> shape) {
    return Tensor{std::move(name), stored_type("F32"), std::move(shape), reinterpret_cast<const std::byte*>(v.data()),
                  static_cast<i64>(v.size() * 4)};
  };
  std::vector<Tensor> tensors{tensor("blk.0.attn_q.weight.in_sum2", sums, {3, 2}), tensor("blk.0.attn_q.weight.counts", counts, {1, 2})};
  Metadata metadata("imatrix");
  metadata.set("general.type", std::string("imatrix"));
  Statistics s = read_statistics("imatrix", metadata, tensors);
  const InputStatistics* input = s.input_of("blk.0.attn_q");
  ASSERT_NE(input, nullptr);
  EXPECT_TRUE(input->diagonal_only());
  EXPECT_EQ(input->tokens, 4);
  for (i64 c = 0; c < 3; c++) EXPECT_FLOAT_EQ(input->square(c), static_cast<float>(c + 1) * 12 / 4);
  counts = {1, -3};
  EXPECT_THROW(read_statistics("imatrix", metadata, tensors), Error);
}

std::string old_imatrix(std::int32_t cols) {
  std::string bytes;
  auto put = [&](auto v) { bytes.append(reinterpret_cast<const char*>(&v), sizeof v); };
  std::string name = "blk.0.ffn_up.weight";
  put(std::int32_t{1});
  put(static_cast<std::int32_t>(name.size()));
  bytes += name;
  put(std::int32_t{4});
  put(cols);
  for (float v : {4.0f, 8.0f}) put(v);
  put(std::int32_t{4});  // the last call, and no name of a text: not read
  return bytes;
}

TEST(Statistics, ReadOldImatrix) {
  std::string path = temporary("imatrix.dat");
  std::ofstream(path, std::ios::binary) << old_imatrix(2);
  Statistics s = load_statistics(path);
  ASSERT_NE(s.input_of("blk.0.ffn_up"), nullptr);
  EXPECT_EQ(s.input_of("blk.0.ffn_up")->square(1), 2);
  std::ofstream(path, std::ios::binary) << old_imatrix(200);
  EXPECT_THROW(load_statistics(path), Error);
  for (std::size_t size = 0; size < 43; size++) {
    std::string cut = old_imatrix(2).substr(0, size);
    EXPECT_THROW(parse_old_imatrix("cut", {reinterpret_cast<const std::byte*>(cut.data()), cut.size()}), Error) << size;
  }
}

TEST(Statistics, RefuseWhatIsNotFinite) {
  Statistics s;
  auto bad = example(3, 1);
  bad->moment(0, 1) = NAN;
  s.inputs["a"] = bad;
  std::string path = temporary("bad.gguf");
  save_statistics(path, s);
  EXPECT_THROW(load_statistics(path), Error);
}

}  // namespace
}  // namespace bitkerf
