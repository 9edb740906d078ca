// The help pages: one screen each, made from the tables.
#include <fmt/format.h>

#include "core/error.h"
#include "nearest.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

// "-p, --prompt TEXT"
std::string spelling(const OptionRow& row) {
  std::string text(row.names);
  if (text.ends_with(",model")) text.resize(text.size() - 6);
  if (std::size_t comma = text.find(','); comma != text.npos) text.insert(comma + 1, " ");
  if (!text.starts_with('-')) return std::string(row.value);
  return row.value.empty() ? text : fmt::format("{} {}", text, row.value);
}

// Two columns of 50: a space, 22 for the spelling, a space, 26 for the explanation.
std::string cell(const OptionRow& row) {
  std::string text = spelling(row);
  if (text.size() > 22) text = text.substr(text.find("--"));
  return fmt::format(" {:<22} {}", text, row.brief);
}

std::string brief_with_default(const OptionRow& row) {
  std::string value = default_of(row);
  return value.empty() ? std::string(row.brief) : fmt::format("{} [{}]", row.brief, value);
}

}  // namespace

std::string help_of_all() {
  std::string text =
      "bitkerf runs language models on CPUs, in every cheap number format, and fits them to a budget.\n"
      "Usage: bitkerf VERB [MODEL] [options]; bitkerf help VERB explains a verb, bitkerf --version\n";
  for (const Verb& verb : verbs()) text += fmt::format("  {:<15} {}\n", verb.name, verb.about);
  std::string line = "Exit codes: 0 all went well";
  for (const FaultRow& row : kFaults) {
    std::string word = fmt::format("{} {}", row.exit_code, row.meaning);
    if (line.size() + word.size() > 97) text += line + ";\n", line = "  " + word;
    else line += "; " + word;
  }
  return text + line + "\n";
}

std::string help_of(const Verb& verb) {
  std::string text = fmt::format("bitkerf {}: {}\n\n", verb.name, verb.about);
  if (!verb.example.empty()) text += fmt::format("Example: bitkerf {} {}\n\n", verb.name, verb.example);
  std::vector<const OptionRow*> rows = options_of(verb);
  // Few options get a line each; many share lines, the first half in the left column.
  std::size_t lines = rows.size() > 14 ? (rows.size() + 1) / 2 : rows.size();
  std::size_t columns = rows.size() > lines ? 2 : 1;
  for (std::size_t i = 0; i < lines; i++) {
    std::string line;
    for (std::size_t column = 0; column < columns && i + column * lines < rows.size(); column++) {
      const OptionRow& row = *rows[i + column * lines];
      if (columns == 1)
        line = fmt::format("  {:<26} {}", spelling(row), brief_with_default(row));
      else
        line += fmt::format("{:<{}}", cell(row), column == 0 ? 50 : 0);
    }
    while (line.ends_with(' ')) line.pop_back();
    text += line + "\n";
  }
  return text;
}

int run_verb_help(const Options& options) {
  if (options.man) return print(manual_page()), 0;
  if (!options.completion.empty()) return print(completion_script(options.completion)), 0;
  print(options.topic.empty() ? help_of_all() : help_of(find_verb(options.topic)));
  return 0;
}

}  // namespace bitkerf
