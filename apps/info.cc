// What a model file holds, without building the model (with --load: built, so that every weight was checked).
#include <algorithm>

#include "core/error.h"
#include "core/printable.h"
#include "files/chat_template.h"
#include "files/model_file.h"
#include "files/tokenizer.h"
#include "load.h"
#include "machine.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

constexpr i64 kMost = i64{1} << 40;

struct Summary {
  std::string architecture, name, tokenizer;
  i64 layers, width, hidden, heads, context, vocabulary, window;
  std::vector<i64> kv_heads;  // per layer, or one for all
  i64 key_length, value_length;
  bool chat_template;

  // Both halves of the cache in a given number type; every layer counted as full attention.
  i64 cache_bytes_per_token(i64 number_bytes) const {
    i64 sum = 0;
    for (i64 i = 0; i < layers; i++)
      sum += kv_heads[kv_heads.size() == 1 ? 0 : static_cast<std::size_t>(i)] * (key_length + value_length);
    return sum * number_bytes;
  }
};

Summary summarize(const ModelFile& file) {
  const Metadata& data = file.metadata();
  Summary s;
  s.architecture = data.text("general.architecture");
  auto integer = [&](std::string_view key, i64 otherwise, i64 most = kMost) {
    return data.integer(s.architecture + "." + std::string(key), 0, most, otherwise);
  };
  s.name = data.text("general.name", "");
  s.tokenizer = data.text("tokenizer.ggml.model", "");
  if (std::string pre = data.text("tokenizer.ggml.pre", ""); !pre.empty()) s.tokenizer += "/" + pre;
  s.layers = integer("block_count", 0, 1 << 20);
  s.width = integer("embedding_length", 0, 1 << 24);
  s.hidden = integer("feed_forward_length", 0, 1 << 24);
  s.heads = integer("attention.head_count", 0, 1 << 20);
  s.context = integer("context_length", 0);
  s.window = integer("attention.sliding_window", 0);
  i64 head_dim = s.heads > 0 ? s.width / s.heads : 0;
  s.key_length = integer("attention.key_length", head_dim, 1 << 20);
  s.value_length = integer("attention.value_length", head_dim, 1 << 20);
  s.kv_heads = data.integers(s.architecture + ".attention.head_count_kv").value_or(std::vector<i64>{s.heads});
  if (s.kv_heads.empty() || (s.kv_heads.size() > 1 && static_cast<i64>(s.kv_heads.size()) < s.layers))
    fail(Fault::file, "{}: {}.attention.head_count_kv has {} entries, expected {}", file.path(), s.architecture,
         s.kv_heads.size(), s.layers);
  for (i64 n : s.kv_heads)
    if (n < 0 || n > (1 << 20))
      fail(Fault::file, "{}: {}.attention.head_count_kv: {} is out of range", file.path(), s.architecture, n);
  const std::vector<std::string>* tokens = data.texts("tokenizer.ggml.tokens");
  s.vocabulary = tokens ? static_cast<i64>(tokens->size()) : integer("vocab_size", 0);
  s.chat_template = data.has("tokenizer.chat_template");
  return s;
}

struct TypeCount {
  const StoredType* type;
  i64 tensors = 0, weights = 0, bytes = 0;
};

std::vector<TypeCount> count_types(const ModelFile& file) {
  std::vector<TypeCount> counts;
  for (const Tensor& tensor : file.tensors()) {
    auto row = std::find_if(counts.begin(), counts.end(), [&](const TypeCount& c) { return c.type == tensor.type; });
    if (row == counts.end()) row = counts.insert(counts.end(), {tensor.type});
    row->tensors++;
    row->weights += tensor.weights();
    row->bytes += tensor.bytes;
  }
  std::sort(counts.begin(), counts.end(), [](const TypeCount& a, const TypeCount& b) { return a.bytes > b.bytes; });
  return counts;
}

double bits_per_weight(i64 bytes, i64 weights) {
  return weights > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights) : 0;
}

double mib(i64 bytes) { return static_cast<double>(bytes) / (1 << 20); }

nlohmann::ordered_json json_of(const ModelFile& file, const Summary& s, const std::vector<TypeCount>& counts,
                               bool list) {
  nlohmann::ordered_json types = nlohmann::ordered_json::array(), tensors = nlohmann::ordered_json::array();
  i64 weights = 0, bytes = 0;
  for (const TypeCount& c : counts) {
    weights += c.weights, bytes += c.bytes;
    types.push_back({{"type", c.type->name},
                     {"tensors", c.tensors},
                     {"weights", c.weights},
                     {"bytes", c.bytes},
                     {"bits_per_weight", bits_per_weight(c.bytes, c.weights)}});
  }
  nlohmann::ordered_json report = {
      {"path", file.path()},
      {"file_bytes", file.file_bytes()},
      {"architecture", s.architecture},
      {"name", s.name},
      {"layers", s.layers},
      {"width", s.width},
      {"hidden", s.hidden},
      {"heads", s.heads},
      {"kv_heads", s.kv_heads},
      {"key_length", s.key_length},
      {"value_length", s.value_length},
      {"window", s.window},
      {"context", s.context},
      {"vocabulary", s.vocabulary},
      {"tokenizer", s.tokenizer},
      {"chat_template", s.chat_template},
      {"weights", weights},
      {"tensor_bytes", bytes},
      {"bits_per_weight", bits_per_weight(bytes, weights)},
      {"cache_bytes_per_token", {{"f16", s.cache_bytes_per_token(2)}, {"f32", s.cache_bytes_per_token(4)}}},
      {"types", types}};
  if (list) {
    for (const Tensor& t : file.tensors())
      tensors.push_back({{"name", t.name}, {"type", t.type->name}, {"shape", t.shape}, {"bytes", t.bytes}});
    report["tensors"] = tensors;
  }
  return report;
}

std::string text_of(const ModelFile& file, const Summary& s, const std::vector<TypeCount>& counts, bool list) {
  std::string text;
  auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<14} {}\n", name, printable(value, 200));
  };
  line("file", fmt::format("{}, {:.1f} MiB", file.path(), mib(file.file_bytes())));
  line("model", fmt::format("{} ({})", s.name.empty() ? "without a name" : s.name, s.architecture));
  line("shape", fmt::format("{} layers, width {}, hidden {}, {} heads of {}, {} heads of keys and values", s.layers,
                            s.width, s.hidden, s.heads, s.key_length, fmt::join(s.kv_heads, " ")));
  line("context", fmt::format("{} tokens{}", s.context, s.window > 0 ? fmt::format(", window {}", s.window) : ""));
  line("cache",
       fmt::format("{:.1f} KiB per token as f16, {:.1f} as f32", static_cast<double>(s.cache_bytes_per_token(2)) / 1024,
                   static_cast<double>(s.cache_bytes_per_token(4)) / 1024));
  line("tokenizer", fmt::format("{}, {} tokens; chat template: {}", s.tokenizer.empty() ? "none" : s.tokenizer,
                                s.vocabulary, s.chat_template ? "yes" : "no"));
  text += fmt::format("\n{:<10} {:>8} {:>14} {:>12} {:>6}\n", "type", "tensors", "weights", "MiB", "bits");
  TypeCount all{};
  auto row = [&](std::string_view name, const TypeCount& c) {
    text += fmt::format("{:<10} {:>8} {:>14} {:>12.1f} {:>6.2f}\n", name, c.tensors, c.weights, mib(c.bytes),
                        bits_per_weight(c.bytes, c.weights));
  };
  for (const TypeCount& c : counts) {
    row(c.type->name, c);
    all.tensors += c.tensors, all.weights += c.weights, all.bytes += c.bytes;
  }
  row("all", all);
  if (list) {
    text += "\n";
    for (const Tensor& t : file.tensors())
      text += fmt::format("{:<40} {:<8} {:>20} {:>12}\n", printable(t.name), t.type->name,
                          fmt::format("{}", fmt::join(t.shape, " x ")), t.bytes);
  }
  return text;
}

// What loading leaves for later: the tokenizer's tables, the chat template, one step.
void check_all_of(Engine& engine) {
  const Tokenizer& tokenizer = engine.tokenizer();
  const Metadata& data = engine.file().metadata();
  if (data.has("tokenizer.chat_template")) ChatTemplate parsed(data.text("tokenizer.chat_template"));
  Token first = std::max(tokenizer.bos(), 0);
  Session session(engine);
  session.feed({&first, 1});
}

}  // namespace

int run_verb_info(const Options& options) {
  std::unique_ptr<ModelFile> opened = open_model_file(model_path(options.model));
  Summary summary = summarize(*opened);
  std::vector<TypeCount> counts = count_types(*opened);
  std::unique_ptr<Engine> engine;
  if (options.check) {
    engine = load_engine(options, std::move(opened));
    check_all_of(*engine);
  }
  const ModelFile& file = engine ? engine->file() : *opened;
  i64 resident = resident_memory();
  if (options.json) {
    nlohmann::ordered_json report = json_of(file, summary, counts, options.list);
    if (engine)
      report["built"] = {{"resident_bytes", resident},
                         {"weight_bytes_per_token", engine->model().shape().weight_bytes}};
    print_json(report);
    return 0;
  }
  std::string text = text_of(file, summary, counts, options.list);
  if (engine)
    text += fmt::format("\nbuilt: {:.1f} MiB resident, {:.1f} MiB of weights read per token\n", mib(resident),
                        mib(engine->model().shape().weight_bytes));
  print(text);
  return 0;
}

}  // namespace bitkerf
