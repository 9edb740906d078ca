// The chat: reads lines, knows the commands, shows answers. What answers is behind an interface, so that tests and
// other front ends can bring their own.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/conversation.h"

namespace bitkerf {

struct ChatAnswer {
  std::string text;
  bool interrupted = false, limit_reached = false, context_full = false;
  i64 prompt_tokens = 0, reused_tokens = 0, answer_tokens = 0;  // reused: of the prompt, from the turn before
  double prefill_seconds = 0, decode_seconds = 0;
};

class ChatModel {
 public:
  virtual ~ChatModel() = default;
  // Writes the answer to the messages. show() gets whole characters as they come; `stop` may be set by a signal at any
  // time. Messages that do not fit the context: Fault::usage that names both numbers.
  virtual ChatAnswer answer(const std::vector<Message>& messages, const std::function<void(std::string_view)>& show,
                            const std::atomic<bool>& stop) = 0;
  virtual i64 context() const = 0;  // tokens
};

// Talks until the input ends or /bye. With a person at a terminal, errors are shown and the chat goes on; in a pipe
// they are thrown.
int run_repl(ChatModel& model, std::string system);

// What /save and /load keep. A file is checked when it is read: Fault::file says what is wrong with it.
struct SavedChat {
  std::string system;
  std::vector<Message> messages;
};
void save_chat(const std::string& path, const SavedChat& chat);
SavedChat load_chat(const std::string& path);

}  // namespace bitkerf
