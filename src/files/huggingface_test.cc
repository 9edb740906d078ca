#include "files/huggingface.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/float16.h"
#include "files/huggingface_families.h"
#include "files/safetensors.h"

namespace bitkerf {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "bitkerf_folder_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  const std::string& path() const { return path_; }
  void write(std::string_view name, std::string_view bytes) const {
    std::ofstream(fmt::format("{}/{}", path_, name), std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string container(std::string_view header, std::string_view data) {
  std::uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out.append(header).append(data);
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::file);
    return error.what();
  }
  return "(accepted)";
}

void expect_in(std::string_view part, std::string_view message) {
  EXPECT_NE(message.find(part), std::string_view::npos) << message << "\nhas no: " << part;
}

TEST(Safetensors, TensorsAreReadWithTheirShapesInnermostFirst) {
  std::uint16_t halves[] = {f32_to_f16(1.0f), f32_to_f16(-2.0f), f32_to_bf16(3.0f)};
  std::string data("\0\0\0\x3f", 4);  // 0.5f
  data.append(reinterpret_cast<const char*>(halves), sizeof halves);
  std::string file = container(R"({"__metadata__": {"format": "pt", "a": "b"},
      "b": {"dtype": "F16", "shape": [2, 1], "data_offsets": [4, 8]},
      "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
      "c": {"dtype": "BF16", "shape": [1], "data_offsets": [8, 10]}}   )", data);
  std::vector<Tensor> tensors = parse_safetensors("f", as_bytes(file));
  ASSERT_EQ(tensors.size(), 3u);
  float values[2];
  EXPECT_EQ(tensors[0].name, "b");
  EXPECT_EQ(tensors[0].shape, (std::vector<i64>{1, 2}));
  tensors[0].type->dequantize(tensors[0].data, 2, values);
  EXPECT_EQ(values[1], -2.0f);
  EXPECT_EQ(tensors[1].bytes, 4);
  tensors[1].type->dequantize(tensors[1].data, 1, values);
  EXPECT_EQ(values[0], 0.5f);
  tensors[2].type->dequantize(tensors[2].data, 1, values);
  EXPECT_EQ(values[0], 3.0f);
}

TEST(Safetensors, RefusesWhatIsWrongAndSaysWhat) {
  auto one = [](std::string_view description) {
    return container(fmt::format(R"({{"t": {}}})", description), "12345678");
  };
  std::string ones = "1";
  for (int i = 0; i < 999; i++) ones += ",1";
  std::string length_only(8, '\0');
  std::string lies(8, '\xff');
  struct Case { const char* name; std::string bytes; const char* message; };
  Case cases[] = {
      {"empty", "", "0 bytes, expected at least the 8"},
      {"cut length", "1234", "4 bytes"},
      {"endless header", lies + "{}", "a header of 18446744073709551615 bytes, but only 2 are left"},
      {"no header", length_only, "parse error"},
      {"not JSON", container("{\"a", ""), "parse error"},
      {"array", container("[1]", ""), "not a JSON object"},
      {"number", container("1", ""), "not a JSON object"},
      {"broken UTF-8", container("{\"\xff\": 1}", ""), "parse error"},
      {"deep", container(std::string(100000, '['), ""), "not a JSON object"},
      {"deep in a tensor", container("{\"a\":" + std::string(100000, '['), ""), "not described by a JSON object"},
      {"deeper in a tensor", container("{\"a\":{\"b\":" + std::string(100000, '['), ""), "nested deeper"},
      {"not an object", one("1"), "tensor t is not described by a JSON object"},
      {"no dtype", one(R"({"shape": [1], "data_offsets": [0, 4]})"), "no dtype"},
      {"dtype", one(R"({"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]})"),
       "the dtype F8_E4M3, expected F32"},
      {"dtype number", one(R"({"dtype": 1, "shape": [1], "data_offsets": [0, 1]})"), "no dtype"},
      {"no shape", one(R"({"dtype": "F32", "data_offsets": [0, 4]})"), "no array shape"},
      {"dimensions", one(R"({"dtype": "F32", "shape": [1,1,1,1,1], "data_offsets": [0, 4]})"), "5 dimensions"},
      {"endless", one(R"({"dtype": "F32", "shape": [)" + ones + "]}"), "too long a description"},
      {"no size", one(R"({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})"), "size 0"},
      {"negative", one(R"({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]})"), "has -1 in shape"},
      {"fraction", one(R"({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]})"), "has 1.5 in shape"},
      {"text", one(R"({"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]})"), "in shape"},
      {"huge", one(R"({"dtype": "F32", "shape": [9223372036854775808], "data_offsets": [0, 4]})"), "in shape"},
      {"wraps", one(R"({"dtype": "F32", "shape": [4294967296, 1073741824], "data_offsets": [0, 4]})"), "beyond 2^63"},
      {"one offset", one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0]})"), "wrong data_offsets"},
      {"offsets", one(R"({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]})"), "wrong data_offsets"},
      {"size", one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 8]})"), "expected two that are 4 bytes apart"},
      {"beyond", one(R"({"dtype": "F32", "shape": [1], "data_offsets": [5, 9]})"),
       "ends at byte 9 of the data, but the file has 8"},
      {"twice", container(R"({"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                              "t": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})", "12345678"),
                               "occurs twice"},
      {"overlap", container(R"({"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                                "u": {"dtype": "F32", "shape": [1], "data_offsets": [3, 7]}})", "12345678"),
                                 "t and u overlap"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string message = refusal([&] { parse_safetensors("the file", as_bytes(c.bytes)); });
    expect_in(c.message, message);
    EXPECT_TRUE(message.starts_with("the file: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

// What every class needs; tests add to it and take away.
Json base_config(std::string_view class_name) {
  return {{"architectures", {class_name}}, {"num_hidden_layers", 4}, {"hidden_size", 64}, {"intermediate_size", 96},
          {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"max_position_embeddings", 256},
          {"vocab_size", 100}, {"rms_norm_eps", 1e-5}, {"rope_theta", 5e5}};
}
Metadata translate(const Json& config) { return translate_config("config.json", config.dump()); }

TEST(Huggingface, EveryFamilyHasTheStandardKeys) {
  for (const HuggingfaceFamily& family : huggingface_families()) {
    SCOPED_TRACE(family.class_name);
    if (family.is_encoder) continue;
    Metadata m = translate(base_config(family.class_name));
    std::string a = std::string(family.architecture) + ".";
    EXPECT_EQ(m.text("general.architecture"), family.architecture);
    EXPECT_EQ(m.text("bitkerf.rope_style"), "half");
    EXPECT_EQ(m.number("bitkerf.norm_offset", 0, 2, 0), family.architecture.starts_with("gemma") ? 1 : 0);
    EXPECT_EQ(m.integer(a + "block_count", 0, 1000), 4);
    EXPECT_EQ(m.integer(a + "embedding_length", 0, 1000), 64);
    EXPECT_EQ(m.integer(a + "feed_forward_length", 0, 1000), 96);
    EXPECT_EQ(m.integer(a + "context_length", 0, 1000), 256);
    EXPECT_EQ(m.integer(a + "vocab_size", 0, 1000), 100);
    EXPECT_EQ(m.integer(a + "attention.head_count", 0, 1000), 4);
    EXPECT_EQ(m.integer(a + "attention.head_count_kv", 0, 1000), 2);
    i64 head = family.head_size ? family.head_size : 16;
    EXPECT_EQ(m.integer(a + "attention.key_length", 0, 1000), head);
    EXPECT_EQ(m.integer(a + "attention.value_length", 0, 1000), head);
    EXPECT_EQ(m.integer(a + "rope.dimension_count", 0, 1000), head);
    EXPECT_EQ(m.number(a + "attention.layer_norm_rms_epsilon", 0, 1), 1e-5);
    EXPECT_EQ(m.number(a + "rope.freq_base", 0, 1e9), 5e5);
    EXPECT_FALSE(m.has(a + "rope.scaling.type"));
    EXPECT_FALSE(m.has(a + "attention.sliding_window"));
  }
}

TEST(Huggingface, WindowsFollowTheFamilyOrTheLayerTypes) {
  struct Case { const char* class_name; Json more; std::optional<std::vector<i64>> windowed; };
  Case cases[] = {
      {"LlamaForCausalLM", {}, std::nullopt},
      {"MistralForCausalLM", {}, {{1, 1, 1, 1}}},
      {"Phi3ForCausalLM", {}, {{1, 1, 1, 1}}},
      {"Gemma2ForCausalLM", {}, {{1, 0, 1, 0}}},
      {"Gemma3ForCausalLM", {}, {{1, 1, 1, 1}}},  // every sixth has none
      {"Gemma3ForCausalLM", {{"sliding_window_pattern", 2}}, {{1, 0, 1, 0}}},
      {"Gemma3ForCausalLM", {{"_sliding_window_pattern", 3}}, {{1, 1, 0, 1}}},
      {"Qwen2ForCausalLM", {{"max_window_layers", 2}}, std::nullopt},
      {"Qwen2ForCausalLM", {{"max_window_layers", 2}, {"use_sliding_window", true}}, {{0, 0, 1, 1}}},
      {"Qwen3ForCausalLM", {{"max_window_layers", 2}, {"use_sliding_window", false}}, std::nullopt},
      {"Qwen3ForCausalLM", {{"layer_types", {"full_attention", "sliding_attention", "full_attention",
       "full_attention"}}},
       {{0, 1, 0, 0}}},
      {"MistralForCausalLM", {{"sliding_window", nullptr}}, std::nullopt},
  };
  for (const Case& c : cases) {
    Json config = base_config(c.class_name);
    config["sliding_window"] = 8;
    if (!c.more.is_null()) config.update(c.more);
    SCOPED_TRACE(config.dump());
    Metadata m = translate(config);
    std::string a = m.text("general.architecture") + ".attention.";
    EXPECT_EQ(m.integers(a + "sliding_window_pattern"), c.windowed);
    EXPECT_EQ(m.integer(a + "sliding_window", 0, 100, 0), c.windowed ? 8 : 0);
  }
}

TEST(Huggingface, RopeSettingsAreFoundInOldAndNewPlaces) {
  Json scaling = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 8192}};
  for (bool old : {true, false}) {
    Json config = base_config("LlamaForCausalLM");
    config[old ? "rope_scaling" : "rope_parameters"] = scaling;
    if (!old) {
      config.erase("rope_theta");
      config["rope_parameters"]["rope_theta"] = 5e5;
    }
    Metadata m = translate(config);
    EXPECT_EQ(m.number("llama.rope.freq_base", 1, 1e9), 5e5);
    EXPECT_EQ(m.number("bitkerf.rope.llama3.factor", 0, 100), 8);
    EXPECT_EQ(m.number("bitkerf.rope.llama3.low_freq_factor", 0, 100), 1);
    EXPECT_EQ(m.number("bitkerf.rope.llama3.high_freq_factor", 0, 100), 4);
    EXPECT_EQ(m.integer("bitkerf.rope.llama3.original_context_length", 0, 10000), 8192);
  }
  {
    Json config = base_config("Gemma3ForCausalLM");
    Metadata m = translate(config);
    EXPECT_EQ(m.number("gemma3.rope.freq_base_swa", 1, 1e9), 1e4);
    config["rope_local_base_freq"] = 2e4;
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8}};
    config["query_pre_attn_scalar"] = 144;
    config["final_logit_softcapping"] = 30.0;
    m = translate(config);
    EXPECT_EQ(m.number("gemma3.rope.freq_base_swa", 1, 1e9), 2e4);
    EXPECT_EQ(m.text("gemma3.rope.scaling.type"), "linear");
    EXPECT_EQ(m.number("gemma3.rope.scaling.factor", 1, 1e9), 8);
    EXPECT_EQ(m.number("gemma3.attention.scale", 0, 1), 1.0 / 12);
    EXPECT_EQ(m.number("gemma3.final_logit_softcapping", 0, 100), 30);
    config.erase("rope_theta");
    config["rope_parameters"] = {{"full_attention", {{"rope_theta", 3e6}, {"rope_type", "default"}}},
                                 {"sliding_attention", {{"rope_theta", 3e4}}}};
    config.erase("rope_local_base_freq");
    m = translate(config);
    EXPECT_EQ(m.number("gemma3.rope.freq_base", 1, 1e9), 3e6);
    EXPECT_EQ(m.number("gemma3.rope.freq_base_swa", 1, 1e9), 3e4);
  }
  {
    Json config = base_config("Phi3ForCausalLM");
    config["original_max_position_embeddings"] = 64;
    config["partial_rotary_factor"] = 0.75;
    config["rope_scaling"] = {{"type", "su"}, {"long_factor", {1, 2, 3, 4, 5, 6.5}}, {"short_factor",
     {1, 1, 1, 1, 1, 1}}};
    Metadata m = translate(config);
    EXPECT_EQ(m.text("phi3.rope.scaling.type"), "longrope");
    EXPECT_EQ(m.integer("phi3.rope.dimension_count", 0, 100), 12);
    EXPECT_EQ(m.integer("phi3.rope.scaling.original_context_length", 0, 100), 64);
    EXPECT_DOUBLE_EQ(m.number("phi3.rope.scaling.attn_factor", 0, 10), std::sqrt(1 + std::log(4.0) / std::log(64.0)));
    EXPECT_EQ(m.numbers("bitkerf.rope.long_factors"), (std::vector<double>{1, 2, 3, 4, 5, 6.5}));
    EXPECT_EQ(m.numbers("bitkerf.rope.short_factors"), (std::vector<double>(6, 1.0)));
  }
  {
    Json config = base_config("Qwen2ForCausalLM");
    config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
    Metadata m = translate(config);
    EXPECT_EQ(m.text("qwen2.rope.scaling.type"), "yarn");
    EXPECT_EQ(m.number("qwen2.rope.scaling.factor", 0, 10), 4);
    EXPECT_EQ(m.integer("qwen2.rope.scaling.original_context_length", 0, 100), 64);
  }
}

TEST(Huggingface, EncodersHaveNamesOfTheirOwn) {
  Json config = base_config("BertModel");
  config["hidden_act"] = "gelu";
  config["layer_norm_eps"] = 1e-12;
  Metadata m = translate(config);
  EXPECT_EQ(m.text("general.architecture"), "bert");
  EXPECT_EQ(m.number("bert.attention.layer_norm_epsilon", 0, 1), 1e-12);
  EXPECT_FALSE(m.boolean("bert.attention.causal", true));
  EXPECT_FALSE(m.has("bert.rope.freq_base"));
  EXPECT_EQ(translate_tensor_name("encoder.layer.11.attention.output.LayerNorm.bias", m), "blk.11.attn_output_norm.bias");
  EXPECT_EQ(translate_tensor_name("encoder.layer.0.output.dense.weight", m), "blk.0.ffn_down.weight");
  EXPECT_EQ(translate_tensor_name("embeddings.word_embeddings.weight", m), "token_embd.weight");
  EXPECT_EQ(translate_tensor_name("pooler.dense.bias", m), "");
  EXPECT_EQ(translate_tensor_name("model.layers.0.mlp.up_proj.weight", m), "model.layers.0.mlp.up_proj.weight");
}

TEST(Huggingface, RefusesConfigurationsThatAreWrong) {
  struct Case { std::string_view class_name; Json more; const char* message; };
  const Json nothing = nullptr;
  Case cases[] = {
      {"GPT2LMHeadModel", {}, "GPT2LMHeadModel are not supported, expected one of: LlamaForCausalLM Mistral"},
      {"BertModel", {{"hidden_act", "silu"}}, "hidden_act is silu, expected gelu"},
      {"BertModel", {{"hidden_act", "gelu"}, {"layer_norm_eps", -1}}, "key layer_norm_eps is -1"},
      {"LlamaForCausalLM", {{"architectures", 1}}, "key architectures is 1"},
      {"LlamaForCausalLM", {{"architectures", Json::array()}}, "names 0 classes"},
      {"LlamaForCausalLM", {{"num_hidden_layers", nothing}}, "key num_hidden_layers is missing"},
      {"LlamaForCausalLM", {{"num_hidden_layers", 0}}, "key num_hidden_layers is 0, expected an integer from 1"},
      {"LlamaForCausalLM", {{"num_hidden_layers", 1000000}}, "key num_hidden_layers is 1000000"},
      {"LlamaForCausalLM", {{"hidden_size", -64}}, "key hidden_size is -64"},
      {"LlamaForCausalLM", {{"hidden_size", 64.5}}, "key hidden_size is 64.5"},
      {"LlamaForCausalLM", {{"hidden_size", "64"}}, "key hidden_size is the text '64'"},
      {"LlamaForCausalLM", {{"vocab_size", ~0ull}}, "key vocab_size is 18446744073709551615"},
      {"LlamaForCausalLM", {{"num_attention_heads", 128}}, "128 heads for a hidden_size of 64"},
      {"LlamaForCausalLM", {{"num_key_value_heads", 8}},
       "key num_key_value_heads is 8, expected an integer from 1 to 4"},
      {"LlamaForCausalLM", {{"rms_norm_eps", -1e-5}}, "key rms_norm_eps is -1e-05"},
      {"LlamaForCausalLM", {{"rope_theta", 0}}, "key rope_theta is 0"},
      {"LlamaForCausalLM", {{"rope_theta", 1e300}}, "key rope_theta is 1e+300"},
      {"LlamaForCausalLM", {{"hidden_act", "relu"}}, "hidden_act is relu, expected silu"},
      {"LlamaForCausalLM", {{"head_dim", 3}}, "expected an even number"},
      {"LlamaForCausalLM", {{"partial_rotary_factor", 0.01}}, "0 of each head's 16 values"},
      {"LlamaForCausalLM", {{"rope_scaling", {{"type", "dynamic"}}}},
       "dynamic is not supported, expected one of: default"},
      {"LlamaForCausalLM", {{"rope_scaling", {{"type", "linear"}}}}, "key factor is missing"},
      {"LlamaForCausalLM", {{"rope_scaling", {{"type", "llama3"}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}}},
       "expected more than low_freq_factor"},
      {"LlamaForCausalLM", {{"quantization_config", {{"quant_method", "gptq"}}}}, "quantized by gptq"},
      {"Gemma2ForCausalLM", {{"attn_logit_softcapping", 0}}, "key attn_logit_softcapping is 0"},
      {"Gemma2ForCausalLM", {{"query_pre_attn_scalar", 0}}, "key query_pre_attn_scalar is 0"},
      {"Qwen3ForCausalLM", {{"layer_types", {"full_attention"}}}, "layer_types has 1 entries, expected 4"},
      {"Qwen3ForCausalLM", {{"layer_types", {"a", "b", "c", "d"}}}, "layer_types has a"},
      {"MistralForCausalLM", {{"sliding_window", 0}}, "key sliding_window is 0"},
      {"Phi3ForCausalLM", {{"rope_scaling", {{"type", "longrope"}, {"original_max_position_embeddings", 64},
                                             {"long_factor", {1, 2}}, {"short_factor", {1, 2}}}}},
       "rope_scaling.long_factor has 2 entries, expected 8"},
      {"Phi3ForCausalLM", {{"rope_scaling", {{"type", "longrope"}, {"original_max_position_embeddings", 1},
                                             {"long_factor", {1, 2}}, {"short_factor", {1, 2}}}}},
       "original_max_position_embeddings is 1, expected more"},
      {"Phi3ForCausalLM", {{"rope_scaling", {{"type", "longrope"}, {"original_max_position_embeddings", 64},
                                             {"long_factor", {1, 2, 3, 4, 5, 6, 7, 0}}}}},
       "has the entry 0"},
  };
  for (const Case& c : cases) {
    Json config = base_config(c.class_name);
    if (!c.more.is_null()) config.update(c.more);
    SCOPED_TRACE(config.dump());
    std::string message = refusal([&] { translate(config); });
    expect_in(c.message, message);
    EXPECT_TRUE(message.starts_with("config.json: ")) << message;
  }
  auto text = [](std::string_view t) { return refusal([&] { translate_config("c", t); }); };
  expect_in("parse error", text(""));
  expect_in("parse error", text(R"({"a": NaN})"));
  expect_in("not a JSON object", text("[]"));
  expect_in("nested deeper than 8", text(std::string(1000, '[')));
  expect_in("expected at most 1048576", text(std::string(2000000, ' ')));
}

TEST(Huggingface, NamesOfTensorsAreTranslated) {
  Metadata llama = translate(base_config("LlamaForCausalLM")), gemma = translate(base_config("Gemma3ForCausalLM"));
  struct Case { const char *from, *to_llama, *to_gemma; };
  Case cases[] = {
      {"model.embed_tokens.weight", "token_embd.weight", "token_embd.weight"},
      {"lm_head.weight", "output.weight", ""},  // Gemma's is tied
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", "blk.0.attn_norm.weight"},
      {"model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias", "blk.12.attn_q.bias"},
      {"model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight", "blk.3.post_attention_norm.weight"},
      {"model.layers.3.pre_feedforward_layernorm.weight", "blk.3.ffn_norm.weight", "blk.3.ffn_norm.weight"},
      {"model.layers.3.mlp.gate_up_proj.weight", "blk.3.ffn_up.weight", "blk.3.ffn_up.weight"},
      {"model.layers.3.self_attn.rotary_emb.inv_freq", "", ""},
      {"model.layers.3.unknown.weight", "model.layers.3.unknown.weight", "model.layers.3.unknown.weight"},
      {"model.layers.", "model.layers.", "model.layers."},
      {"model.layers.3", "model.layers.3", "model.layers.3"},
      {"model.layers.3.weight", "model.layers.3.weight", "model.layers.3.weight"},
      {"", "", ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(translate_tensor_name(c.from, llama), c.to_llama);
    EXPECT_EQ(translate_tensor_name(c.from, gemma), c.to_gemma);
  }
}

std::string one_tensor(std::string_view name, std::string_view data) {
  return container(fmt::format(R"({{"{}": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}}})", name), data);
}

TEST(Huggingface, FolderIsOpened) {
  Folder folder;
  Json config = base_config("LlamaForCausalLM");
  config["tie_word_embeddings"] = true;
  folder.write("config.json", config.dump());
  auto message = [&] { return refusal([&] { open_model_file(folder.path()); }); };
  expect_in("neither model.safetensors", message());
  folder.write("model.safetensors", one_tensor("model.norm.weight", "1234"));
  folder.write("tokenizer_config.json", R"({"added": {"a": [1, {"chat_template": 5}]}, "chat_template": "{{ x }}"})");
  std::unique_ptr<ModelFile> file = open_model_file(folder.path());
  ASSERT_TRUE(file->find("output_norm.weight"));
  EXPECT_EQ(std::memcmp(file->find("output_norm.weight")->data, "1234", 4), 0);
  EXPECT_EQ(file->metadata().text("tokenizer.chat_template"), "{{ x }}");
  EXPECT_EQ(file->metadata().text("general.name"), fs::path(folder.path()).filename().string());

  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "A"},
                                                              {"name": "tools", "template": "B"}]})");
  file = open_model_file(folder.path() + "/");
  EXPECT_EQ(file->metadata().text("tokenizer.chat_template"), "A");
  EXPECT_EQ(file->metadata().text("tokenizer.chat_template.tools"), "B");
  EXPECT_EQ(file->metadata().text("general.name"), fs::path(folder.path()).filename().string());
  folder.write("tokenizer_config.json", R"({"chat_template": [5]})");
  expect_in("neither a text nor a list", message());
  folder.write("chat_template.jinja", "C");
  EXPECT_EQ(open_model_file(folder.path())->metadata().text("tokenizer.chat_template"), "C");

  config["tie_word_embeddings"] = false;
  folder.write("config.json", config.dump());
  expect_in("no tensor lm_head.weight", message());
  expect_in("without config.json", refusal([] { open_model_file(fs::temp_directory_path().string()); }));
  expect_in("no model", refusal([&] { open_model_file(folder.path() + "/model.safetensors"); }));
}

TEST(Huggingface, PartsAreFoundThroughTheIndex) {
  Folder folder;
  folder.write("config.json", base_config("LlamaForCausalLM").dump());
  folder.write("a.safetensors", one_tensor("model.norm.weight", "1234"));
  folder.write("b.safetensors", one_tensor("lm_head.weight", "5678"));
  auto write_index = [&](Json map) { folder.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump()); };
  write_index({{"model.norm.weight", "a.safetensors"}, {"lm_head.weight", "b.safetensors"}});
  std::unique_ptr<ModelFile> file = open_model_file(folder.path());
  EXPECT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(std::memcmp(file->find("output.weight")->data, "5678", 4), 0);

  auto message = [&](Json map) { write_index(map); return refusal([&] { open_model_file(folder.path()); }); };
  expect_in("no tensor lm_head.weight, although the index says so", message({{"lm_head.weight", "a.safetensors"}}));
  expect_in("c.safetensors: cannot be opened", message({{"x", "c.safetensors"}}));
  expect_in("expected the plain name", message({{"x", "../c.safetensors"}}));
  expect_in("expected the plain name", message({{"x", "/etc/passwd"}}));
  expect_in("has no file name", message({{"x", 5}}));
  expect_in("no object weight_map", message(5));
  // A name that two files have, under two names that mean the same.
  folder.write("b.safetensors", one_tensor("model.norm.weight", "5678"));
  folder.write("c.safetensors", one_tensor("output_norm.weight", "5678"));
  expect_in("output_norm.weight occurs twice",
            message({{"model.norm.weight", "b.safetensors"}, {"output_norm.weight", "c.safetensors"}}));
}

}  // namespace
}  // namespace bitkerf
