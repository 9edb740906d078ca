#include "repl.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <span>

#include "core/error.h"
#include "line_editor.h"
#include "nearest.h"
#include "output.h"

namespace bitkerf {
namespace {

std::atomic<bool> stop_answer{false};  // set by the handler of Ctrl-C, which has no other way to reach us

// Ctrl-C stops the answer in progress, as long as this lives.
class StopOnInterrupt {
 public:
  explicit StopOnInterrupt(bool enabled) : enabled_(enabled) {
    stop_answer = false;
    if (!enabled_) return;
    struct sigaction action{};
    action.sa_handler = [](int) { stop_answer = true; };
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &saved_);
  }
  ~StopOnInterrupt() {
    if (enabled_) sigaction(SIGINT, &saved_, nullptr);
  }

 private:
  bool enabled_;
  struct sigaction saved_{};
};

// A model may write anything; on a terminal, what could steer it is shown instead of sent.
std::string for_terminal(std::string_view text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080..U+009F are control characters as well, as 0xC2 and the code.
    const bool wide = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (wide) shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if ((c < 32 && c != '\n' && c != '\t') || c == 127) shown += fmt::format("\\x{:02x}", c);
    else shown += static_cast<char>(c);
  }
  return shown;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

class Repl {
 public:
  Repl(ChatModel& model, std::string system) : model_(model), system_(std::move(system)), editor_(history_file()) {}

  int run() {
    if (editor_.interactive()) note("/help lists the commands, /bye leaves; \"\"\" begins and ends a text of several lines");
    while (!done_) {
      std::string text;
      const LineEditor::Got got = read_message(text);
      if (got == LineEditor::Got::end) break;
      if (got == LineEditor::Got::cancelled) {
        if (cancelled_++ > 0) note("/bye or Ctrl-D leaves");
        continue;
      }
      cancelled_ = 0;
      if (trimmed(text).empty()) continue;
      try {
        if (text.front() == '/') command(text);
        else say(std::move(text));
      } catch (const Error& e) {
        if (!editor_.interactive()) throw;
        print_error("error", e.what());
        if (!e.hint().empty()) print_error("hint", e.hint());
      }
    }
    if (editor_.interactive() && !done_) std::fputc('\n', stderr);  // after Ctrl-D
    return 0;
  }

 private:
  struct Command {
    std::string_view name, argument, about;
    void (Repl::*run)(const std::string& argument);
  };
  static std::span<const Command> commands();

  static void note(std::string_view text) { std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data()); }

  // One line, or what stands between two """.
  LineEditor::Got read_message(std::string& text) {
    LineEditor::Got got = editor_.read("> ", text);
    if (got != LineEditor::Got::line) return got;
    editor_.remember(text);
    if (!text.starts_with("\"\"\"")) return got;
    text.erase(0, 3);
    for (bool first = true;; first = false) {
      const std::string_view end = trimmed(text);
      if (end.ends_with("\"\"\"") && (!first || !end.empty())) {
        text.resize(text.rfind("\"\"\""));
        if (text.ends_with("\n")) text.pop_back();
        if (text.starts_with("/")) text.insert(0, " ");  // never a command
        return LineEditor::Got::line;
      }
      std::string line;
      got = editor_.read("... ", line);
      if (got == LineEditor::Got::cancelled) return got;
      if (got == LineEditor::Got::end) throw Error(Fault::usage, "the input ends within a \"\"\" block");
      editor_.remember(line);
      if (!text.empty() || !first) text += "\n";
      text += line;
    }
  }

  void command(const std::string& text) {
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view name = std::string_view(text).substr(0, end);
    std::vector<std::string_view> known;
    for (const Command& row : commands()) {
      if (row.name == name) return (this->*row.run)(std::string(trimmed(std::string_view(text).substr(end))));
      known.push_back(row.name);
    }
    throw Error(Fault::usage, fmt::format("unknown command '{}'; known are: {}", name, fmt::join(known, " ")),
                did_you_mean(name, known, "a blank in front makes it a message"));
  }

  void say(std::string text) {
    messages_.push_back({"user", std::move(text)});
    answer();
  }

  // Lets the model answer the last message. When there is no answer, the message goes as well.
  void answer() {
    std::vector<Message> all;
    if (!system_.empty()) all.push_back({"system", system_});
    all.insert(all.end(), messages_.begin(), messages_.end());
    const bool terminal = isatty(STDOUT_FILENO);
    ChatAnswer answer;
    try {
      StopOnInterrupt guard(editor_.interactive());
      answer = model_.answer(all, [&](std::string_view piece) { print(terminal ? for_terminal(piece) : std::string(piece)); },
                             stop_answer);
    } catch (...) {
      messages_.pop_back();
      throw;
    }
    print("\n");
    last_ = answer;
    if (answer.interrupted) note(answer.text.empty() ? "(stopped)" : "(stopped; what is there stays part of the chat)");
    if (answer.limit_reached) note(fmt::format("(stopped after {} tokens; -n N allows more)", answer.answer_tokens));
    if (answer.context_full)
      note(fmt::format("(stopped: the context of {} tokens is full; /clear starts anew, -c N makes it larger)", model_.context()));
    if (answer.interrupted && answer.text.empty()) messages_.pop_back();
    else messages_.push_back({"assistant", answer.text});
  }

  void help(const std::string&) {
    for (const Command& row : commands())
      note(fmt::format("  {:<16} {}", fmt::format("{} {}", row.name, row.argument), row.about));
    note("  \"\"\"              begins and ends a text of several lines");
    note("  Ctrl-C           stops the answer, or drops the line");
  }

  void set_system(const std::string& text) {
    if (text.empty()) return note(system_.empty() ? "no system message" : for_terminal(system_));
    system_ = text;
    note("the system message is set; /clear would start anew with it");
  }

  void save(const std::string& path) {
    if (path.empty()) throw Error(Fault::usage, "/save needs the name of a file");
    save_chat(path, {system_, messages_});
    note(fmt::format("saved {} messages", messages_.size()));
  }

  void load(const std::string& path) {
    if (path.empty()) throw Error(Fault::usage, "/load needs the name of a file");
    SavedChat chat = load_chat(path);
    system_ = std::move(chat.system);
    messages_ = std::move(chat.messages);
    note(fmt::format("loaded {} messages", messages_.size()));
  }

  void regenerate(const std::string&) {
    if (messages_.empty()) throw Error(Fault::usage, "there is no answer to write again");
    const std::vector<Message> before = messages_;
    messages_.pop_back();
    try {
      answer();
    } catch (...) {
      messages_ = before;
      throw;
    }
    if (messages_.size() < before.size()) messages_ = before;  // stopped before the first word
  }

  void stats(const std::string&) {
    if (last_.prompt_tokens == 0) return note("no answer yet");
    const auto rate = [](i64 tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; };
    const i64 read = last_.prompt_tokens - last_.reused_tokens;
    note(fmt::format("prompt   {} tokens, {} of them known from before; {:.0f} tokens/s", last_.prompt_tokens,
                     last_.reused_tokens, rate(read, last_.prefill_seconds)));
    note(fmt::format("answer   {} tokens; {:.1f} tokens/s", last_.answer_tokens,
                     rate(last_.answer_tokens - 1, last_.decode_seconds)));
    note(fmt::format("context  {} of {} tokens", last_.prompt_tokens + last_.answer_tokens, model_.context()));
  }

  void clear(const std::string&) {
    messages_.clear();
    note("a new chat");
  }

  void leave(const std::string&) { done_ = true; }

  ChatModel& model_;
  std::string system_;
  LineEditor editor_;
  std::vector<Message> messages_;  // user and assistant take turns
  ChatAnswer last_;
  int cancelled_ = 0;  // Ctrl-C in a row at the prompt
  bool done_ = false;
};

std::span<const Repl::Command> Repl::commands() {
  static constexpr Command kCommands[] = {
      {"/help", "", "this list", &Repl::help},
      {"/system", "[TEXT]", "set the system message; without TEXT: show it", &Repl::set_system},
      {"/save", "FILE", "write the chat to a file", &Repl::save},
      {"/load", "FILE", "go on with a saved chat", &Repl::load},
      {"/regen", "", "another answer to the last message", &Repl::regenerate},
      {"/stats", "", "tokens and speed of the last answer", &Repl::stats},
      {"/clear", "", "start anew; the system message stays", &Repl::clear},
      {"/bye", "", "leave (or Ctrl-D)", &Repl::leave},
  };
  return kCommands;
}

}  // namespace

int run_repl(ChatModel& model, std::string system) { return Repl(model, std::move(system)).run(); }

}  // namespace bitkerf
