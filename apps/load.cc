#include "load.h"

#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include "core/error.h"
#include "core/printable.h"
#include "exec.h"
#include "machine.h"
#include "nearest.h"
#include "progress.h"

namespace bitkerf {
namespace {

namespace fs = std::filesystem;

struct CacheRow {
  std::string_view name;
  CacheType type;
};
constexpr CacheRow kCaches[] = {{"int16", CacheType::int16}, {"f16", CacheType::f16}, {"f32", CacheType::f32}};

CacheType cache_type(std::string_view name) {
  for (const CacheRow& row : kCaches)
    if (row.name == name) return row.type;
  throw Error(Fault::usage, fmt::format("--cache-type: unknown type '{}'; known are: int16, f16, f32", name));
}

// A text of more than this is a mistake (a device, a wrong file): its tokens would fit no context.
constexpr std::size_t kMostText = std::size_t{1} << 30;

std::string read_all(std::istream& stream, std::string_view name) {
  std::string text;
  char piece[1 << 16];
  while (stream.read(piece, sizeof piece) || stream.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(stream.gcount()));
    if (text.size() > kMostText) fail(Fault::file, "{}: holds more than 1 GiB, expected a text", name);
  }
  if (stream.bad()) fail(Fault::file, "{}: reading failed", name);
  return text;
}

// "15043+1", "15043-1.5", "15043-inf"
std::pair<Token, float> logit_bias(const std::string& text) {
  Token token = 0;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, token);
  char* last = nullptr;
  float bias = rest < end && (*rest == '+' || *rest == '-') ? std::strtof(rest, &last) : NAN;
  if (error != std::errc{} || last != end || std::isnan(bias) || token < 0)
    throw Error(Fault::usage, fmt::format("--logit-bias: expected ID+X or ID-X, not '{}'", text),
                "bitkerf tokenize MODEL -p TEXT prints ids");
  return {token, bias};
}

}  // namespace

std::string model_path(const std::string& model) {
  if (model.empty())
    throw Error(Fault::usage, "no model given", "a GGUF file or a Hugging Face folder, after the verb");
  std::error_code ignored;
  if (model.find('/') != model.npos || fs::exists(model, ignored)) return model;
  const char* home = std::getenv("HOME");
  for (const std::string& folder : {cache_folder(), std::string(home ? home : "") + "/.cache/peers/models"})
    for (const char* ending : {"", ".gguf"})
      if (std::string path = folder + "/" + model + ending; fs::exists(path, ignored)) return path;
  return model;  // opening it says what is wrong
}

std::unique_ptr<Engine> load_engine(const Options& options, std::unique_ptr<ModelFile> file) {
  EngineOptions engine;
  engine.threads = static_cast<int>(options.threads);
  engine.context = options.context;
  engine.chunk = options.chunk;
  engine.flush_subnormals = options.constant_time;
  engine.model.cache = cache_type(options.cache_type);
  engine.model.form = options.form;
  engine.model.read_bits = static_cast<int>(options.bits);
  engine.load = exec_row(options.exec.empty() ? kFloatExec : std::string_view(options.exec)).load;
  if (engine.load && (!options.form.empty() || options.bits > 0))
    fail(Fault::usage, "--{} is of --exec {}; --exec {} has its own weights", options.form.empty() ? "bits" : "form", kFloatExec, options.exec);
  if (engine.load && (!options.refine.empty() || !options.prune_tokens.empty()))
    fail(Fault::usage, "--{} is of --exec {}", options.refine.empty() ? "prune-tokens" : "refine", kFloatExec);
  if (!options.refine.empty())
    engine.model.refinement = std::make_shared<Refinement>(options.refine.starts_with('@') ? read_text_file(options.refine.substr(1)) : options.refine);
  if (!options.prune_tokens.empty()) engine.model.prune = parse_prune_steps(options.prune_tokens);
  Progress progress("loading " + printable(file->path()), "MB", 1000000);
  return std::make_unique<Engine>(std::move(file), engine, [&](i64 done, i64 all) { progress.show(done, all); });
}

std::unique_ptr<Engine> load_engine(const Options& options, const std::string& path) {
  return load_engine(options, open_model_file(path));
}

std::unique_ptr<Engine> load_engine(const Options& options) { return load_engine(options, model_path(options.model)); }

std::string read_text_file(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) fail(Fault::file, "{}: is a folder, expected a text file", path);
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) fail(Fault::file, "{}: cannot be opened: {}", path, std::strerror(errno));
  return read_all(stream, path);
}

std::string read_text(const Options& options) {
  if (!options.prompt.empty() && !options.file.empty())
    throw Error(Fault::usage, "both --prompt and --file are given", "one of them is enough");
  if (!options.prompt.empty()) return options.prompt;
  if (!options.file.empty() && options.file != "-") return read_text_file(options.file);
  if (options.file.empty() && isatty(STDIN_FILENO))
    throw Error(Fault::usage, "no text given", "-p TEXT, -f FILE, or a pipe");
  return read_all(std::cin, "standard input");
}

std::vector<Token> prompt_tokens(const Engine& engine, const std::string& text, const Options& options) {
  Specials specials = options.special ? Specials::as_tokens : Specials::as_text;
  std::vector<Token> tokens = engine.tokenizer().encode_prompt(text, specials);
  if (tokens.empty()) throw Error(Fault::usage, "the text is empty, and the model has no token to begin with");
  return tokens;
}

SamplerOptions sampler_options(const Options& options) {
  SamplerOptions sampler;
  sampler.temperature = options.temperature;
  sampler.top_k = options.top_k;
  sampler.top_p = options.top_p;
  sampler.min_p = options.min_p;
  sampler.typical_p = options.typical;
  sampler.repeat_penalty = options.repeat_penalty;
  sampler.repeat_last_n = options.repeat_last_n;
  sampler.frequency_penalty = options.frequency_penalty;
  sampler.presence_penalty = options.presence_penalty;
  for (const std::string& bias : options.logit_bias) sampler.logit_bias.push_back(logit_bias(bias));
  sampler.seed = options.seed >= 0 ? static_cast<std::uint64_t>(options.seed) : std::random_device{}();
  return sampler;
}

}  // namespace bitkerf
