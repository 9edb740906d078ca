#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "files/gguf.h"
#include "models/list.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

ModelOptions float_path(const TinyModel& tiny) {
  return {.cache = CacheType::f32, .form = "dense", .context = tiny.context};
}

// Logits of all tokens of a prompt, computed in one step.
OwnedMatrix<float> logits_of(const Model& model, std::span<const Token> prompt, Threads& threads) {
  i64 n = static_cast<i64>(prompt.size());
  Arena arena(std::max(model.scratch(n, n), model.head_scratch(n)));
  Context context{threads, arena, chosen_isa()};
  std::unique_ptr<SequenceState> sequence = model.new_sequence(n);
  SequenceState* sequences[] = {sequence.get()};
  Run run{0, n, 0};
  std::vector<i64> wanted(prompt.size());
  for (std::size_t i = 0; i < wanted.size(); i++) wanted[i] = static_cast<i64>(i);
  OwnedMatrix<float> hidden(n, model.shape().width), logits(n, model.shape().vocabulary);
  model.forward(prompt, {{&run, 1}, n}, sequences, wanted, hidden.view(), context);
  model.head(hidden.view(), logits.view(), context);
  EXPECT_EQ(arena.used(), 0);
  return logits;
}

double largest_difference(Matrix<const float> a, Matrix<const float> b) {
  double largest = 0;
  for (i64 r = 0; r < a.rows; r++) {
    for (i64 c = 0; c < a.cols; c++) {
      double d = std::fabs(static_cast<double>(a(r, c)) - b(r, c));
      largest = d <= largest ? largest : d;  // NaN counts
    }
  }
  return largest;
}

bool same_bits(Matrix<const float> a, Matrix<const float> b) {
  return a.rows == b.rows && a.cols == b.cols &&
         std::memcmp(a.data, b.data, static_cast<std::size_t>(a.rows * a.cols) * sizeof(float)) == 0;
}

TEST(Models, LogitsAreThoseOfTransformers) {
  Threads threads(2);
  for (const TinyModel& tiny : kTinyModels) {
    SCOPED_TRACE(tiny.name);
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<Model> model = load_model(*open_model_file(tiny_model_path(tiny)), float_path(tiny), threads);
    ModelOptions transformed = float_path(tiny);
    transformed.form = "hadamard/dense";
    std::unique_ptr<Model> turned = load_model(*open_model_file(tiny_model_path(tiny)), transformed, threads);
    double largest = 0, largest_turned = 0;
    for (std::size_t p = 0; p < golden.prompts.size(); p++) {
      OwnedMatrix<float> logits = logits_of(*model, golden.prompts[p], threads);
      largest = std::max(largest, largest_difference(logits.view(), golden.logits[p].view()));
      // Every matrix and every input turned: the same to rounding, the looked up rows of the embedding included.
      OwnedMatrix<float> again = logits_of(*turned, golden.prompts[p], threads);
      largest_turned = std::max(largest_turned, largest_difference(again.view(), golden.logits[p].view()));
      EXPECT_FALSE(same_bits(logits.view(), again.view()));
    }
    EXPECT_LE(largest_turned, 2e-4);
    EXPECT_LE(largest, 2e-4);
    RecordProperty(tiny.name, std::to_string(largest));
    std::printf("  %-12s differs by at most %.1e, transformed by %.1e\n", tiny.name, largest, largest_turned);
  }
}

// A GGUF file in a temporary folder.
class WrittenGguf {
 public:
  WrittenGguf(const Metadata& metadata, std::span<const Tensor> tensors) {
    char name[] = "/tmp/bitkerf_models_test_XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/model.gguf";
    write_gguf(path_, metadata, tensors);
  }
  ~WrittenGguf() { std::filesystem::remove_all(folder_); }
  const std::string& path() const { return path_; }

 private:
  std::string folder_, path_;
};

TEST(Models, AreTheSameThroughGguf) {
  Threads threads(2);
  for (const TinyModel& tiny : kTinyModels) {
    SCOPED_TRACE(tiny.name);
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<ModelFile> folder = open_model_file(tiny_model_path(tiny));
    WrittenGguf written(folder->metadata(), folder->tensors());
    std::unique_ptr<Model> from_folder = load_model(*folder, float_path(tiny), threads);
    std::unique_ptr<Model> from_gguf = load_model(*open_model_file(written.path()), float_path(tiny), threads);
    EXPECT_EQ(from_folder->shape().parameters, from_gguf->shape().parameters);
    for (const std::vector<Token>& prompt : golden.prompts) {
      EXPECT_TRUE(
          same_bits(logits_of(*from_folder, prompt, threads).view(), logits_of(*from_gguf, prompt, threads).view()));
    }
  }
}

// GGUF files of the llama architecture have the rows of q and k in another order, gains with their offset, and the
// divisors of the rotary embedding as a tensor.
TEST(Models, LlamaInTheOrderOfGgufHasTheSameBits) {
  Threads threads(1);
  for (const char* name : {"llama3", "llama_linear", "mistral"}) {
    SCOPED_TRACE(name);
    TinyModel tiny{name, 0};
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<ModelFile> folder = open_model_file(tiny_model_path(tiny));
    std::vector<Tensor> tensors = folder->tensors();
    std::vector<std::vector<std::byte>> reordered;
    i64 head_dim = folder->metadata().integer("llama.attention.key_length", 1, 1000);
    for (Tensor& tensor : tensors) {
      if (tensor.name.find("attn_q.") == std::string::npos && tensor.name.find("attn_k.") == std::string::npos)
        continue;
      i64 rows = tensor.shape.back(), row_bytes = tensor.bytes / rows;
      std::vector<std::byte>& bytes = reordered.emplace_back(static_cast<std::size_t>(tensor.bytes));
      for (i64 row = 0; row < rows; row++) {  // row 2 i of a head is i of the halves, 2 i + 1 is i + head_dim / 2
        i64 in_head = row % head_dim, from = row - in_head + in_head / 2 + (in_head % 2) * (head_dim / 2);
        std::memcpy(bytes.data() + row * row_bytes, tensor.data + from * row_bytes,
                    static_cast<std::size_t>(row_bytes));
      }
      tensor.data = bytes.data();
    }
    Metadata metadata(folder->metadata().where());
    for (const auto& [key, value] : folder->metadata().values()) {
      if (key != "bitkerf.rope_style") metadata.set(key, value);
    }
    WrittenGguf written(metadata, tensors);
    std::unique_ptr<Model> expected = load_model(*folder, float_path(tiny), threads);
    std::unique_ptr<Model> model = load_model(*open_model_file(written.path()), float_path(tiny), threads);
    for (const std::vector<Token>& prompt : golden.prompts) {
      EXPECT_TRUE(same_bits(logits_of(*model, prompt, threads).view(), logits_of(*expected, prompt, threads).view()));
    }
  }
}

// What loading says about a file whose metadata or tensors were changed.
std::string error_of(const Metadata& metadata, std::span<const Tensor> tensors) {
  WrittenGguf written(metadata, tensors);
  Threads threads(1);
  try {
    load_model(*open_model_file(written.path()), {}, threads);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::file);
    return error.what();
  }
  return "";
}

TEST(Models, RefuseWhatIsNotTheModel) {
  std::unique_ptr<ModelFile> folder = open_model_file(tiny_model_path({"qwen3", 0}));
  const Metadata& good = folder->metadata();
  ASSERT_EQ(error_of(good, folder->tensors()), "");
  auto expect = [](const std::string& message, std::string_view part) {
    EXPECT_NE(message.find(part), std::string::npos) << "'" << message << "' does not name '" << part << "'";
  };

  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, MetadataValue>>{
           {"qwen3.block_count", std::uint32_t{0}},
           {"qwen3.embedding_length", std::uint64_t{1} << 63},
           {"qwen3.attention.head_count_kv", std::int32_t{-2}},
           {"qwen3.attention.head_count_kv", std::uint32_t{4}},
           {"qwen3.attention.layer_norm_rms_epsilon", std::nanf("")},
           {"qwen3.attention.key_length", std::uint32_t{7}},
           {"qwen3.rope.freq_base", -1.0f},
           {"qwen3.rope.scaling.type", std::string("sideways")},
           {"qwen3.feed_forward_length", std::string("many")},
           {"qwen3.context_length", std::uint32_t{0}},
           {"qwen3.attention.sliding_window_pattern", MetadataArray(std::vector<bool>(2))}}) {
    Metadata metadata = good;
    metadata.set(key, value);
    EXPECT_NE(error_of(metadata, folder->tensors()), "") << key;
  }
  Metadata unknown = good;
  unknown.set("general.architecture", std::string("abacus"));
  expect(error_of(unknown, folder->tensors()), "'abacus' is not known; known ones: llama");

  for (std::size_t i = 0; i < folder->tensors().size(); i++) {
    SCOPED_TRACE(folder->tensors()[i].name);
    std::vector<Tensor> tensors = folder->tensors();
    std::string name = tensors[i].name;
    tensors[i].name += "2";
    expect(error_of(good, tensors), name);  // one missing, one too many
    tensors = folder->tensors();
    std::vector<std::byte> bytes(tensors[i].data, tensors[i].data + tensors[i].bytes);
    bytes[bytes.size() - 1] = std::byte{0x7e};  // the last half float is not a number
    bytes[bytes.size() - 2] = std::byte{0x01};
    tensors[i].data = bytes.data();
    if (tensors[i].type->name == "F16") expect(error_of(good, tensors), name);
    tensors = folder->tensors();
    tensors[i].shape.back() -= 1;
    tensors[i].bytes = tensors[i].type->bytes(tensors[i].weights());
    if (name != "token_embd.weight") expect(error_of(good, tensors), name);
  }
  std::vector<Tensor> more = folder->tensors();
  more.push_back(more.back());
  more.back().name = "blk.0.ffn_gate_inp.weight";
  expect(error_of(good, more), "blk.0.ffn_gate_inp.weight");
}

TEST(Models, HugeClaimsCostNoMemory) {
  std::unique_ptr<ModelFile> folder = open_model_file(tiny_model_path({"llama3", 0}));
  Metadata metadata(folder->metadata().where());
  for (const auto& [key, value] : folder->metadata().values()) {
    if (key != "bitkerf.rope_style") metadata.set(key, value);
  }
  metadata.set("llama.attention.head_count", std::uint32_t{65536});
  metadata.set("llama.attention.key_length", std::uint32_t{65536});
  metadata.set("llama.rope.dimension_count", std::uint32_t{65536});
  EXPECT_NE(error_of(metadata, folder->tensors()).find("blk.0.attn_q.weight"), std::string::npos);
}

TEST(Models, ContextIsChosenOrRefused) {
  EXPECT_EQ(chosen_context(0, 2048), 2048);
  EXPECT_EQ(chosen_context(0, 131072), 8192);
  EXPECT_EQ(chosen_context(131072, 131072), 131072);
  EXPECT_THROW(chosen_context(2049, 2048), Error);
  EXPECT_THROW(chosen_context(-1, 2048), Error);
}

}  // namespace
}  // namespace bitkerf
