// Lines from whoever talks to us: edited, with history, on a terminal; plain from a pipe.
#pragma once

#include <memory>
#include <string>

namespace bitkerf {

class LineEditor {
 public:
  // history_file: kept over sessions; empty: none.
  explicit LineEditor(const std::string& history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;

  enum class Got { line, cancelled, end };  // cancelled: Ctrl-C
  // The line comes without its newline.
  Got read(const std::string& prompt, std::string& line);
  void remember(const std::string& line);
  bool interactive() const { return interactive_; }  // a person at a terminal, not a pipe

 private:
  struct Editing;
  std::unique_ptr<Editing> editing_;  // null: plain lines
  bool interactive_;
};

// $XDG_STATE_HOME/bitkerf/history or ~/.local/state/bitkerf/history; its folder is made. Empty when that fails.
std::string history_file();

}  // namespace bitkerf
