// Whole tiny models through recipes with transforms and ranges of rows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compress/quantize_model.h"
#include "compress/records.h"
#include "core/error.h"
#include "files/gguf.h"
#include "files/packed_tensors.h"
#include "models/list.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

class QuantizedModel {
 public:
  QuantizedModel(const ModelFile& source, const std::string& recipe, Threads& threads) {
    char name[] = "/tmp/bitkerf_quantize_test_XXXXXX";
    folder_ = mkdtemp(name);
    quantize_model(source, RecipeBook(recipe), path(), threads, {});
    file_ = open_model_file(path());
  }
  ~QuantizedModel() { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/model.gguf"; }
  const ModelFile& file() const { return *file_; }
  std::string bytes() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string folder_;
  std::unique_ptr<ModelFile> file_;
};

// Logits of all tokens, `at_once` in a step.
OwnedMatrix<float> logits_of(const ModelFile& file, std::span<const Token> prompt, Threads& threads, i64 at_once, std::string form = "") {
  std::unique_ptr<Model> model = load_model(file, {.cache = CacheType::f32, .form = std::move(form), .context = 64}, threads);
  i64 all = static_cast<i64>(prompt.size());
  Arena arena(std::max(model->scratch(at_once, all), model->head_scratch(at_once)));
  Context context{threads, arena, chosen_isa()};
  std::unique_ptr<SequenceState> sequence = model->new_sequence(all);
  SequenceState* sequences[] = {sequence.get()};
  OwnedMatrix<float> hidden(all, model->shape().width), logits(all, model->shape().vocabulary);
  for (i64 t = 0; t < all; t += at_once) {
    i64 n = std::min(at_once, all - t);
    Run run{0, n, t};
    std::vector<i64> wanted;
    for (i64 i = 0; i < n; i++) wanted.push_back(i);
    model->forward(prompt.subspan(static_cast<std::size_t>(t), static_cast<std::size_t>(n)), {{&run, 1}, n}, sequences, wanted,
                   hidden.view().sub_rows(t, n), context);
    model->head(hidden.view().sub_rows(t, n), logits.view().sub_rows(t, n), context);
  }
  return logits;
}

bool same_bits(const OwnedMatrix<float>& a, const OwnedMatrix<float>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.rows() * a.cols()) * sizeof(float)) == 0;
}

double relative_difference(const OwnedMatrix<float>& a, const OwnedMatrix<float>& b) {
  double difference = 0, size = 0;
  for (i64 r = 0; r < a.rows(); r++)
    for (i64 c = 0; c < a.cols(); c++) difference += std::pow(double{a(r, c)} - b(r, c), 2), size += std::pow(double{a(r, c)}, 2);
  return std::sqrt(difference / size);
}

constexpr TinyModel kModels[] = {{"llama3", 0}, {"gemma3", 0}, {"phi3", 0}, {"qwen3", 0}};

TEST(QuantizeModel, TransformedModelsHaveTheSameBitsAnyWay) {
  Threads one(1), two(2);
  for (const TinyModel& tiny : kModels) {
    SCOPED_TRACE(tiny.name);
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path(tiny));
    // 110 columns of the llama's output projection have no Hadamard matrix.
    QuantizedModel turned(*source, "*=hadamard | rtn/int8.f32.row | bit_planes | int8.row; blk.*.attn_output=rtn/int8.f32.row | bit_planes | int8.row", two);
    QuantizedModel plain(*source, "*=rtn/int8.f32.row | bit_planes | int8.row", two);
    const std::vector<Token>& prompt = golden.prompts[0];
    OwnedMatrix<float> want = logits_of(turned.file(), prompt, one, static_cast<i64>(prompt.size()));
    for (i64 at_once : {1, 3, static_cast<int>(prompt.size())}) {
      EXPECT_TRUE(same_bits(logits_of(turned.file(), prompt, one, at_once), want)) << at_once;
      EXPECT_TRUE(same_bits(logits_of(turned.file(), prompt, two, at_once), want)) << at_once;
    }
    // Of rows whose largest is 4 times the mean size, 8 bits round 4 / 127 / sqrt(12) = 0.9 % of either operand: over 7
    // products in 2 layers 0.9 % sqrt(28) = 5 %, three times that at most, turned or not.
    EXPECT_LT(relative_difference(golden.logits[0], want), 0.15);
    OwnedMatrix<float> unturned = logits_of(plain.file(), prompt, two, 5);
    EXPECT_LT(relative_difference(golden.logits[0], unturned), 0.15);
    EXPECT_FALSE(same_bits(unturned, want));
    std::printf("  %-10s hadamard %.4f, none %.4f\n", tiny.name, relative_difference(golden.logits[0], want), relative_difference(golden.logits[0], unturned));

    for (const TensorRecord& record : tensor_records(turned.file())) {
      EXPECT_EQ(record.transform, record.matrix.find("attn_output") == std::string::npos ? "hadamard" : "none") << record.matrix;
      EXPECT_EQ(record.quantizer, "rtn");
      EXPECT_EQ(record.input, "int8.row");
    }
    QuantizedModel again(*source, recipe_of(turned.file()), one);
    EXPECT_TRUE(again.bytes() == turned.bytes());
  }
}

// Scales are of rows, so cutting a matrix anywhere changes no bit; fused matrices are cut by the architecture too.
TEST(QuantizeModel, RangesOfRowsAreTheMatrix) {
  Threads one(1), two(2);
  for (const TinyModel& tiny : kModels) {
    SCOPED_TRACE(tiny.name);
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path(tiny));
    const std::string line = "rtn/int8.f32.row | bit_planes | int8.row\n", turned = "hadamard | " + line;
    std::string cut = "*=" + line;
    for (const char* range : {"token_embd[0:33]=", "token_embd[33:]=", "blk.*.attn_q*[:5]=", "blk.*.attn_q*[5:41]=", "blk.*.attn_q*[41:]=",
                              "blk.*.ffn_up[1:]=", "blk.*.ffn_up[0:1]=", "blk.*.ffn_down[2:]=", "blk.*.ffn_down[0:2]="})
      cut += range + line;
    cut += "blk.*.attn_q_norm = keep\nblk.*.ffn_down = " + turned + "blk.*.ffn_down[0:2] = " + turned + "blk.*.ffn_down[2:] = " + turned;
    QuantizedModel whole(*source, "*=" + line + "blk.*.ffn_down = " + turned, one), parts(*source, cut, two);
    EXPECT_GT(read_packed_tensors(parts.file().metadata()).size(), read_packed_tensors(whole.file().metadata()).size());
    const std::vector<Token>& prompt = golden.prompts[0];
    OwnedMatrix<float> want = logits_of(whole.file(), prompt, one, 4);
    EXPECT_TRUE(same_bits(logits_of(parts.file(), prompt, one, 1), want));
    EXPECT_TRUE(same_bits(logits_of(parts.file(), prompt, two, static_cast<i64>(prompt.size())), want));
    QuantizedModel again(*source, recipe_of(parts.file()), one);
    EXPECT_TRUE(again.bytes() == parts.bytes());
  }
}

TEST(QuantizeModel, RefusesWhatIsNotAMatrix) {
  Threads threads(2);
  std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path({"llama3", 0}));
  EXPECT_THROW(QuantizedModel(*source, "*[0:3]=rtn/int4", threads), Error);
  EXPECT_THROW(QuantizedModel(*source, "*=hadamard | rtn/int4", threads), Error);  // rows of 110 weights
  QuantizedModel good(*source, "*=rtn/int8.row; token_embd[0:40]=hadamard|rtn/int8.row; token_embd[40:]=rtn/int4.row", threads);
  auto message = [&](auto&& change) {
    Metadata metadata = good.file().metadata();
    std::vector<PackedTensor> entries = read_packed_tensors(metadata);
    change(entries);
    set_packed_tensors(entries, metadata);
    std::string path = good.path() + ".broken";
    write_gguf(path, metadata, good.file().tensors());
    try {
      load_model(*open_model_file(path), {}, threads);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::file);
      return std::string(error.what());
    }
    return std::string();
  };
  auto at = [](std::vector<PackedTensor>& entries, i64 first) -> PackedTensor& {
    for (PackedTensor& e : entries)
      if (e.matrix == "token_embd.weight" && e.first == first) return e;
    ADD_FAILURE();
    return entries[0];
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_NE(message([&](auto& e) { at(e, 0).transform = "token_embd.weight.rows0"; }).find("has parameters"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 0).input = "diagonal/int8.row"; }).find("has no parameters"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 0).input = "diagonal/int8.row", at(e, 0).transform = "output_norm.weight"; }).find("output_norm.weight"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 0).scattered = "output_norm.weight"; }).find("rows of"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 40).first = 39; }).find("token_embd"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 40).matrix = "nothing.weight"; }).find("no packed rows from 40"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 0).first = 1; }).find("token_embd"), std::string::npos);
  EXPECT_NE(message([&](auto& e) { at(e, 0).input = "hadamars/int8.row"; }).find("unknown transform"), std::string::npos);
}

}  // namespace
}  // namespace bitkerf
