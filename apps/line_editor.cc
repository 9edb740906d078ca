#include "line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string_view>

namespace bitkerf {

struct LineEditor::Editing {
  EditLine* line = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string file, prompt;
  bool cancelled = false;
  void (*interrupt)(int) = SIG_DFL;  // what Ctrl-C did before

  static Editing& of(EditLine* line) {
    void* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return *static_cast<Editing*>(self);
  }
  static char* show_prompt(EditLine* line) { return of(line).prompt.data(); }
  static unsigned char cancel(EditLine* line, int) {
    of(line).cancelled = true;
    return CC_EOF;
  }
};

namespace {

constexpr int kHistoryLines = 1000;

// libedit reads UTF-8 only in a UTF-8 locale; numbers keep the "C" way of writing.
void use_utf8() {
  if (std::setlocale(LC_CTYPE, "") && std::string_view(nl_langinfo(CODESET)) == "UTF-8") return;
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

bool terminal_can_edit() {
  const char* name = std::getenv("TERM");
  return name && *name && std::string_view(name) != "dumb" && isatty(STDOUT_FILENO);
}

}  // namespace

LineEditor::LineEditor(const std::string& history_file) : interactive_(isatty(STDIN_FILENO)) {
  if (!interactive_ || !terminal_can_edit()) return;
  use_utf8();
  editing_ = std::make_unique<Editing>();
  Editing& e = *editing_;
  e.file = history_file;
  e.interrupt = std::signal(SIGINT, SIG_IGN);  // between two lines: whoever works on a line's answer handles it
  e.line = el_init("bitkerf", stdin, stdout, stderr);
  e.history = history_init();
  history(e.history, &e.event, H_SETSIZE, kHistoryLines);
  history(e.history, &e.event, H_SETUNIQUE, 1);
  if (!e.file.empty()) history(e.history, &e.event, H_LOAD, e.file.c_str());
  el_set(e.line, EL_CLIENTDATA, &e);
  el_set(e.line, EL_EDITOR, "emacs");
  el_set(e.line, EL_PROMPT, Editing::show_prompt);
  el_set(e.line, EL_HIST, history, e.history);
  el_set(e.line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // Ctrl-C comes as a key while a line is edited, so that it can drop the line without a signal.
  el_set(e.line, EL_SETTY, "-d", "-isig", nullptr);
  el_set(e.line, EL_ADDFN, "drop-line", "forget the line", Editing::cancel);
  el_set(e.line, EL_BIND, "^C", "drop-line", nullptr);
}

LineEditor::~LineEditor() {
  if (!editing_) return;
  // The folder belongs to this user, but what was asked is nobody else's business on a shared machine either.
  const mode_t mask = umask(077);
  if (!editing_->file.empty()) history(editing_->history, &editing_->event, H_SAVE, editing_->file.c_str());
  umask(mask);
  history_end(editing_->history);
  el_end(editing_->line);
  std::signal(SIGINT, editing_->interrupt);
}

LineEditor::Got LineEditor::read(const std::string& prompt, std::string& line) {
  if (!editing_) {
    if (interactive_) {
      std::fputs(prompt.c_str(), stderr);
      std::fflush(stderr);
    }
    if (!std::getline(std::cin, line)) return Got::end;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return Got::line;
  }
  editing_->prompt = prompt;
  editing_->cancelled = false;
  // libedit shows the prompt before it takes the terminal, and until then Ctrl-C is a signal that would end the program.
  // A key typed as soon as the prompt is seen must find the terminal taken.
  el_set(editing_->line, EL_PREP_TERM, 1);
  int count = 0;
  const char* text = el_gets(editing_->line, &count);
  if (editing_->cancelled) {
    std::puts("^C");
    return Got::cancelled;
  }
  if (!text || count <= 0) return Got::end;
  line.assign(text, static_cast<std::size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return Got::line;
}

void LineEditor::remember(const std::string& line) {
  if (editing_ && !line.empty()) history(editing_->history, &editing_->event, H_ENTER, line.c_str());
}

std::string history_file() {
  namespace fs = std::filesystem;
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  fs::path folder;
  if (state && *state == '/') folder = state;
  else if (home && *home == '/') folder = fs::path(home) / ".local" / "state";
  else return {};
  std::error_code error;
  fs::create_directories(folder / "bitkerf", error);
  return error ? std::string() : (folder / "bitkerf" / "history").string();
}

}  // namespace bitkerf
