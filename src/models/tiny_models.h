// For tests: the tiny random models of tests/golden/models, each a Hugging Face folder with the logits that Python's
// transformers computes from it (tests/golden/make_tiny_models.py).
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "files/tokenizer.h"

namespace bitkerf {

struct TinyModel {
  const char* name;
  i64 context;  // to load it with; 0: the default
};
inline constexpr TinyModel kTinyModels[] = {
    {"llama3", 0}, {"llama_linear", 0}, {"mistral", 0}, {"qwen2", 0}, {"qwen2_yarn", 0}, {"qwen3", 0},
    {"gemma2", 0}, {"gemma3", 0},       {"phi3", 0},    {"phi3_long", 0}, {"phi3_short", 64},
};

inline std::string tiny_model_path(const TinyModel& model) {
  return std::string(BITKERF_SOURCE_DIR "/tests/golden/models/") + model.name;
}

struct TinyGolden {
  std::vector<std::vector<Token>> prompts;
  std::vector<OwnedMatrix<float>> logits;  // of each prompt: (tokens, vocabulary)
};

inline TinyGolden read_tiny_golden(const TinyModel& model) {
  std::ifstream in(tiny_model_path(model) + "/golden.bin", std::ios::binary);
  auto read = [&](auto* data, i64 count) {
    in.read(reinterpret_cast<char*>(data), static_cast<std::streamsize>(count * static_cast<i64>(sizeof(*data))));
  };
  std::int32_t sizes[3] = {};
  read(sizes, 3);
  TinyGolden golden;
  for (int p = 0; p < sizes[0]; p++)
    read(golden.prompts.emplace_back(static_cast<std::size_t>(sizes[1])).data(), sizes[1]);
  for (int p = 0; p < sizes[0]; p++)
    read(golden.logits.emplace_back(sizes[1], sizes[2]).view().data, i64{sizes[1]} * sizes[2]);
  CHECK(in.good() && sizes[0] > 0);
  return golden;
}

}  // namespace bitkerf
