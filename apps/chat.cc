// Talks with a model, see repl.h.
#include <algorithm>

#include "core/error.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "load.h"
#include "repl.h"
#include "verbs.h"

namespace bitkerf {
namespace {

class EngineChat final : public ChatModel {
 public:
  EngineChat(Engine& engine, GenerateOptions options)
      : engine_(engine), conversation_(engine.file().metadata(), engine.tokenizer()), session_(engine),
        options_(std::move(options)) {}

  ChatAnswer answer(const std::vector<Message>& messages, const std::function<void(std::string_view)>& show,
                    const std::atomic<bool>& stop) override {
    const std::vector<Token> prompt = conversation_.prompt(messages);
    const i64 size = static_cast<i64>(prompt.size());
    if (size >= engine_.context())
      throw Error(Fault::usage,
                  fmt::format("the chat has {} tokens and the context holds {}: there is no room for an answer", size,
                              engine_.context()),
                  "/clear starts anew; -c N makes the context larger");
    // What the session holds already is not computed again; one token is, as its logits are needed.
    const std::vector<Token>& held = session_.tokens();
    const auto differ = std::mismatch(prompt.begin(), prompt.end() - 1, held.begin(), held.end()).first;
    const i64 same = differ - prompt.begin();
    session_.rollback(same);

    options_.stop = &stop;
    const Generated written = generate(engine_, session_, std::span(prompt).subspan(static_cast<std::size_t>(same)), options_, show);
    options_.sampler.seed++;  // or /regen would say the same again
    return {.text = written.text,
            .interrupted = written.finish == Finish::interrupted,
            .limit_reached = written.finish == Finish::limit,
            .context_full = written.finish == Finish::context_full,
            .prompt_tokens = size,
            .reused_tokens = same,
            .answer_tokens = static_cast<i64>(written.tokens.size()),
            .prefill_seconds = written.prefill_seconds,
            .decode_seconds = written.decode_seconds};
  }
  i64 context() const override { return engine_.context(); }

 private:
  Engine& engine_;
  Conversation conversation_;
  Session session_;
  GenerateOptions options_;
};

}  // namespace

int run_verb_chat(const Options& options) {
  GenerateOptions generation;
  generation.limit = options.answer;
  generation.stops = options.stops;
  generation.sampler = sampler_options(options);
  const std::unique_ptr<Engine> engine = load_engine(options);
  EngineChat model(*engine, std::move(generation));
  return run_repl(model, options.system);
}

}  // namespace bitkerf
