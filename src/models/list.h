// Every architecture that we know: one row per general.architecture in list.cc.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "models/decoder.h"

namespace bitkerf {

struct ArchitectureRow {
  std::string_view name;  // as in general.architecture
  std::string_view about;
  // Every value from `metadata` is checked (Fault::file). nullptr: its matrices are known, but it cannot be run.
  DecoderSpec (*describe)(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
  std::unique_ptr<Model> (*make)(const Metadata& metadata, LinearSource& source, const ModelOptions& options,
                                 Threads& threads);
};
std::span<const ArchitectureRow> architectures();

// Builds the model of file's architecture from any source; unknown architectures answer with the known ones.
std::unique_ptr<Model> describe_model(const ModelFile& file, LinearSource& source, const ModelOptions& options, Threads& threads);

// Fault::file where the model can be compressed, but not run; `wanted` is for people: "run", "calibrated".
void check_runs(const ModelFile& file, std::string_view wanted);

// What the file's architecture is made of: for those who do something else with a decoder than run it.
DecoderSpec describe_decoder(const ModelFile& file, LinearSource& source, const ModelOptions& options);

// One file each.
DecoderSpec llama_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
DecoderSpec gemma2_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
DecoderSpec gemma3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
DecoderSpec qwen2_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
DecoderSpec qwen3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
DecoderSpec phi3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options);
std::unique_ptr<Model> make_bert(const Metadata& metadata, LinearSource& source, const ModelOptions& options, Threads& threads);

}  // namespace bitkerf
