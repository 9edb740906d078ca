// Continues a text. The standard output carries the continuation only.
#include "core/error.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "load.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

struct FinishRow {
  Finish finish;
  std::string_view name;
};
constexpr FinishRow kFinishes[] = {{Finish::end_of_text, "stop"},
                                   {Finish::limit, "length"},
                                   {Finish::stop_string, "stop"},
                                   {Finish::context_full, "context"},
                                   {Finish::interrupted, "interrupted"}};

std::string_view name_of(Finish finish) {
  for (const FinishRow& row : kFinishes)
    if (row.finish == finish) return row.name;
  return {};
}

// The text as one message of a user, in the model's chat template.
std::vector<Token> chat_tokens(const Engine& engine, const std::string& text, const Options& options) {
  std::vector<Message> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  messages.push_back({"user", text});
  return Conversation(engine.file().metadata(), engine.tokenizer()).prompt(messages);
}

}  // namespace

int run_verb_run(const Options& options) {
  // What can be wrong with the call is found before the model is loaded.
  GenerateOptions generation;
  generation.limit = options.predict;
  generation.stops = options.stops;
  generation.ignore_end = options.ignore_end;
  generation.sampler = sampler_options(options);
  if (!options.system.empty() && !options.chat) throw Error(Fault::usage, "--system-prompt needs --chat");
  if (options.chat && options.special) throw Error(Fault::usage, "--chat and --special exclude each other");
  std::string text = read_text(options);
  std::unique_ptr<Engine> engine = load_engine(options);

  std::vector<Token> prompt =
      options.chat ? chat_tokens(*engine, text, options) : prompt_tokens(*engine, text, options);
  Session session(*engine);
  Generated answer = generate(*engine, session, prompt, generation, [&](std::string_view piece) {
    if (!options.json) print(piece);
  });

  if (options.json) {
    print_json({{"text", answer.text},
                {"tokens", answer.tokens.size()},
                {"prompt_tokens", answer.prompt_tokens},
                {"prefill_tokens_per_second", answer.prefill_tokens_per_second()},
                {"decode_tokens_per_second", answer.decode_tokens_per_second()},
                {"finish", name_of(answer.finish)},
                {"seed", generation.sampler.seed},
                {"ids", answer.tokens}});
    return 0;
  }
  print("\n");
  if (answer.finish == Finish::context_full)
    print_error("note", fmt::format("stopped: the context of {} tokens is full (-c)", engine->context()));
  return 0;
}

}  // namespace bitkerf
