// The answers of two models side by side, the first token in which they differ marked.
#include <algorithm>

#include "core/error.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "load.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kColumn = 58;

struct Side {
  std::string path;
  Generated answer;
  i64 file_bytes = 0;
};

Side answer_of(const Options& options, const std::string& model, const std::string& text) {
  std::unique_ptr<Engine> engine = load_engine(options, model_path(model));
  std::vector<Token> prompt;
  if (options.chat) {
    std::vector<Message> messages;
    if (!options.system.empty()) messages.push_back({"system", options.system});
    messages.push_back({"user", text});
    prompt = Conversation(engine->file().metadata(), engine->tokenizer()).prompt(messages);
  } else {
    prompt = prompt_tokens(*engine, text, options);
  }
  GenerateOptions generation;
  generation.limit = options.predict;
  generation.sampler.temperature = 0;
  Session session(*engine);
  Side side{model, generate(*engine, session, prompt, generation), engine->file().file_bytes()};
  return side;
}

// Lines of at most kColumn characters, broken between words; bytes of one character stay together.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  std::size_t width = 0;
  std::string word;
  std::size_t word_width = 0;
  auto put = [&] {
    if (width + word_width > kColumn && width > 0) lines.emplace_back(), width = 0;
    lines.back() += word, width += word_width;
    word.clear(), word_width = 0;
  };
  for (char c : text) {
    if (c == '\n') {
      put();
      lines.emplace_back(), width = 0;
      continue;
    }
    bool begins = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (begins && word_width == kColumn) put();
    word += c, word_width += begins;
    if (c == ' ') put();
  }
  put();
  return lines;
}

std::size_t width_of(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// The text with the token at `differs` in marks.
std::string marked(const Side& side, std::size_t differs, const Tokenizer& tokenizer) {
  const std::vector<Token>& tokens = side.answer.tokens;
  std::string before = tokenizer.decode(std::span(tokens).first(std::min(differs, tokens.size())));
  if (differs >= tokens.size()) return before + "▶◀";
  std::string with = tokenizer.decode(std::span(tokens).first(differs + 1)), all = tokenizer.decode(tokens);
  if (!with.starts_with(before) || !all.starts_with(with)) return all;
  return before + "▶" + with.substr(before.size()) + "◀" + all.substr(with.size());
}

}  // namespace

int run_verb_compare(const Options& options) {
  if (options.other.empty()) throw Error(Fault::usage, "one model given, expected two", "bitkerf compare A.gguf B.gguf -p TEXT");
  std::string text = read_text(options);
  Side sides[2] = {answer_of(options, options.model, text), answer_of(options, options.other, text)};
  const std::vector<Token>&a = sides[0].answer.tokens, &b = sides[1].answer.tokens;
  auto differs = static_cast<std::size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin()).first - a.begin());
  bool same = a == b;
  if (options.json) {
    Json list = Json::array();
    for (const Side& side : sides)
      list.push_back({{"model", side.path}, {"file_bytes", side.file_bytes}, {"text", side.answer.text}, {"ids", side.answer.tokens},
                      {"decode_tokens_per_second", side.answer.decode_tokens_per_second()}});
    return print_json({{"answers", list}, {"same", same}, {"first_difference", same ? -1 : static_cast<i64>(differs)}}), 0;
  }
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file->metadata());
  std::vector<std::string> columns[2];
  for (int i = 0; i < 2; i++) {
    columns[i] = {fmt::format("{} ({:.1f} MiB)", sides[i].path.substr(sides[i].path.rfind('/') + 1), static_cast<double>(sides[i].file_bytes) / (1 << 20)),
                  fmt::format("{:.1f} tok/s", sides[i].answer.decode_tokens_per_second()), std::string(kColumn, '-')};
    std::vector<std::string> lines = lines_of(same ? sides[i].answer.text : marked(sides[i], differs, *tokenizer));
    columns[i].insert(columns[i].end(), lines.begin(), lines.end());
  }
  std::string page;
  for (std::size_t i = 0; i < std::max(columns[0].size(), columns[1].size()); i++) {
    std::string left = i < columns[0].size() ? columns[0][i] : "", right = i < columns[1].size() ? columns[1][i] : "";
    page += left + std::string(kColumn - std::min(kColumn, width_of(left)), ' ') + " | " + right + "\n";
  }
  page += same ? fmt::format("the same {} tokens\n", a.size()) : fmt::format("the first {} tokens are the same; the next one is marked\n", differs);
  print(page);
  return 0;
}

}  // namespace bitkerf
