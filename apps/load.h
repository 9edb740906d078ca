// From options to what a verb works on: the model, the text, the sampler's settings.
#pragma once

#include <memory>
#include <string>

#include "engine/sampler.h"
#include "engine/session.h"
#include "options.h"

namespace bitkerf {

// The path of the model: as given, or a bare name looked for in the cache folders. Fault::usage without one.
std::string model_path(const std::string& model);

// Loads it, with a line of progress on a terminal when that takes more than a second.
std::unique_ptr<Engine> load_engine(const Options& options);
std::unique_ptr<Engine> load_engine(const Options& options, const std::string& path);
std::unique_ptr<Engine> load_engine(const Options& options, std::unique_ptr<ModelFile> file);

// A text file; Fault::file with the reason where it cannot be read.
std::string read_text_file(const std::string& path);

// --prompt, --file, or what comes through a pipe; Fault::usage when there is none of them.
std::string read_text(const Options& options);

// The text as the model is fed it; an empty one that gives no token at all is Fault::usage.
std::vector<Token> prompt_tokens(const Engine& engine, const std::string& text, const Options& options);

SamplerOptions sampler_options(const Options& options);

}  // namespace bitkerf
