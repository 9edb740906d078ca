// The manual page and the shells' completions, made from the tables of options and verbs.
#include <fmt/format.h>

#include "core/error.h"
#include "nearest.h"
#include "options.h"

namespace bitkerf {
namespace {

std::string roff(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else
      out += c;
  }
  if (out.starts_with('.')) out.insert(0, "\\&");
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    text = at == text.npos ? std::string_view{} : text.substr(at + 1);
  }
  return parts;
}

std::vector<std::string_view> flags_of(const OptionRow& row) {
  std::vector<std::string_view> flags;
  for (std::string_view name : split(row.names, ','))
    if (name.starts_with('-')) flags.push_back(name);
  return flags;
}

bool takes_file(const OptionRow& row) { return row.value == "FILE" || row.value == "MODEL"; }

std::string bash() {
  std::string text =
      "# bash completion of bitkerf, made by `bitkerf help --completion bash`\n"
      "_bitkerf() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words=\"";
  for (const Verb& verb : verbs()) text += fmt::format("{} ", verb.name);
  text += "--help --version\"\n  else\n    case \"${COMP_WORDS[1]}\" in\n";
  for (const Verb& verb : verbs()) {
    text += fmt::format("      {}) words=\"", verb.name);
    for (const OptionRow* row : options_of(verb))
      for (std::string_view flag : flags_of(*row))
        if (flag.starts_with("--")) text += fmt::format("{} ", flag);
    if (verb.name == "help")
      for (const Verb& topic : verbs()) text += fmt::format("{} ", topic.name);
    text += "\" ;;\n";
  }
  text +=
      "    esac\n  fi\n"
      "  case \"$before\" in\n"
      "    -m|--model|-f|--file|--reference) words= ;;\n"
      "    --isa) words=\"portable avx2 avx512\" ;;\n"
      "    --cache-type|-ctk) words=\"f16 f32\" ;;\n"
      "    --completion) words=\"bash zsh fish\" ;;\n"
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
      "  [[ $word == -* || ${#COMPREPLY[@]} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
      "}\ncomplete -o filenames -F _bitkerf bitkerf\n";
  return text;
}

// Inside single quotes of zsh's _arguments and of fish.
std::string quoted(std::string_view text, std::string_view special) {
  std::string out;
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (special.find(c) != special.npos)
      out += fmt::format("\\{}", c);
    else
      out += c;
  }
  return out;
}

std::string zsh() {
  std::string text =
      "#compdef bitkerf\n# zsh completion of bitkerf, made by `bitkerf help --completion zsh`\n_bitkerf() {\n"
      "  local -a verbs=(\n";
  for (const Verb& verb : verbs()) text += fmt::format("    '{}:{}'\n", verb.name, quoted(verb.about, ":"));
  text +=
      "  )\n  if (( CURRENT == 2 )); then\n    _describe verb verbs\n    return\n  fi\n  local verb=${words[2]}\n"
      "  shift words\n  (( CURRENT-- ))\n  case $verb in\n";
  for (const Verb& verb : verbs()) {
    text += fmt::format("    {})\n      _arguments", verb.name);
    for (const OptionRow* row : options_of(verb)) {
      for (std::string_view flag : flags_of(*row)) {
        text += fmt::format(" \\\n        '{}[{}]", flag, quoted(row->brief, "[]:"));
        if (!row->value.empty()) text += fmt::format(":{}:{}", row->value, takes_file(*row) ? "_files" : "");
        text += "'";
      }
    }
    text += fmt::format(" \\\n        '*:{}'\n      ;;\n", verb.name == "help" ? "verb:(($verbs))" : "file:_files");
  }
  return text + "  esac\n}\n_bitkerf \"$@\"\n";
}

std::string fish() {
  std::string text =
      "# fish completion of bitkerf, made by `bitkerf help --completion fish`\ncomplete -c bitkerf -n "
      "__fish_use_subcommand -l version -d 'Print the version'\n";
  for (const Verb& verb : verbs()) {
    text += fmt::format("complete -c bitkerf -n __fish_use_subcommand -f -a {} -d '{}'\n", verb.name,
                        quoted(verb.about, "\\"));
    for (const OptionRow* row : options_of(verb)) {
      if (flags_of(*row).empty()) continue;
      text += fmt::format("complete -c bitkerf -n '__fish_seen_subcommand_from {}'", verb.name);
      for (std::string_view flag : flags_of(*row)) {
        if (flag.starts_with("--"))
          text += fmt::format(" -l {}", flag.substr(2));
        else if (flag.size() == 2)
          text += fmt::format(" -s {}", flag.substr(1));
        else
          text += fmt::format(" -o {}", flag.substr(1));
      }
      if (!row->value.empty()) text += takes_file(*row) ? " -r -F" : " -x";
      text += fmt::format(" -d '{}'\n", quoted(row->brief, "\\"));
    }
  }
  return text;
}

struct Shell {
  std::string_view name;
  std::string (*script)();
};
constexpr Shell kShells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

}  // namespace

std::string completion_script(std::string_view shell) {
  std::vector<std::string_view> known;
  for (const Shell& row : kShells) {
    if (row.name == shell) return row.script();
    known.push_back(row.name);
  }
  throw Error(Fault::usage,
              fmt::format("--completion: unknown shell '{}'; known are: {}", shell, fmt::join(known, ", ")),
              did_you_mean(shell, known));
}

std::string manual_page() {
  std::string text =
      ".TH BITKERF 1 \"\" \"bitkerf " BITKERF_VERSION
      "\" \"User Commands\"\n"
      ".SH NAME\nbitkerf \\- run language models on CPUs, in every cheap number format\n"
      ".SH SYNOPSIS\n.B bitkerf\n.I VERB\n.RI [ MODEL ]\n.RI [ options ]\n"
      ".SH DESCRIPTION\nThe standard output carries the answer only; everything else goes to the standard error.\n"
      ".SH VERBS\n";
  for (const Verb& verb : verbs()) {
    text += fmt::format(".TP\n.B {}\n{}.", verb.name, roff(verb.about));
    std::string flags;
    for (const OptionRow* row : options_of(verb))
      for (std::string_view flag : flags_of(*row)) {
        if (row->names.ends_with("--help") || flag != flags_of(*row).front()) continue;
        flags += fmt::format("{}{}", flags.empty() ? "" : ", ", roff(flag));
      }
    if (!flags.empty()) text += fmt::format(" Options: {}.", flags);
    if (!verb.example.empty()) text += fmt::format("\n.IP\n.EX\nbitkerf {} {}\n.EE", verb.name, roff(verb.example));
    text += "\n";
  }
  text += ".SH OPTIONS\n";
  for (const OptionRow& row : option_rows()) {
    if (flags_of(row).empty()) continue;
    text += ".TP\n";
    std::string names;
    for (std::string_view flag : flags_of(row))
      names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(flag));
    if (!row.value.empty()) names += fmt::format(" \\fI{}\\fR", row.value);
    text += names + "\n" + roff(row.detail);
    std::string value = default_of(row);
    if (!value.empty()) text += fmt::format(" Default: {}.", roff(value));
    text += "\n";
  }
  text += ".SH EXIT STATUS\n.TP\n.B 0\nall went well\n";
  for (const FaultRow& row : kFaults) text += fmt::format(".TP\n.B {}\n{}\n", row.exit_code, roff(row.meaning));
  text +=
      ".SH ENVIRONMENT\n"
      ".TP\n.B BITKERF_CACHE\nthe folder where models are kept; \\fI~/.cache/bitkerf\\fR unless set\n"
      ".TP\n.B BITKERF_ISA\nas \\-\\-isa\n";
  return text;
}

}  // namespace bitkerf
