// Everything that can be said on the command line: one struct, one table of options, one table of verbs. Parsing, help,
// the man page and shell completions all read the two tables (docs: CONTRIBUTING.md, "Adding a verb").
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/view.h"

namespace bitkerf {

struct Options {
  std::string model, other;
  // What to work on.
  std::string prompt, file, system;
  bool chat = false;     // run: put the prompt into the model's chat template
  bool special = false;  // text such as <|im_start|> may become a control token
  bool no_bos = false;
  bool ignore_end = false;
  std::vector<std::string> stops;
  // How much.
  i64 predict = 256;  // -1: until the model ends or the context is full
  i64 answer = 1024;  // chat: tokens of one answer; -1 as for predict
  i64 context = 0;    // 0: the model's, at most 8192
  i64 threads = 0;    // 0: all cores
  i64 chunk = 512;
  // Sampling, see engine/sampler.h.
  i64 seed = -1;  // -1: a new one each time
  double temperature = 0.8;
  i64 top_k = 40;
  double top_p = 0.95, min_p = 0.05, typical = 1.0;
  double repeat_penalty = 1.0;
  i64 repeat_last_n = 64;
  double presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::string> logit_bias;
  // How to compute.
  std::string form, cache_type = "int16", isa;
  std::string exec;        // empty: as the verb does without it
  std::string refine, prune_tokens;
  i64 bits = 0;            // 0: all planes
  // Compressing.
  std::string recipe, like, output;
  std::vector<std::string> calibrate;  // files of text
  std::string calibration;             // a file of statistics
  i64 windows = 64;
  i64 steps = 60;
  bool tune = false;
  bool search = false;
  std::vector<std::string> budgets;
  double max_kld = 0;      // 0: none
  std::string plan_file, explain, forms;
  bool curve = false;
  std::vector<std::string> measured;  // files of figures
  std::string low, high, deal = "global";
  double share = 0.1;
  bool inputs = false;
  bool thresholds = false;
  std::string svg;         // a folder
  // Measuring.
  i64 bench_prompt = 512, bench_predict = 128, repeats = 3;
  bool kernels = false;
  bool probe = false, again = false;
  bool sweep = false, cost = false;
  std::string fit;
  i64 seconds = 50;
  std::string format, activation, shape = "2048x2048";
  i64 tokens = 256;
  i64 chunks = -1;  // -1: all windows of the text
  std::string reference;
  // Output.
  bool json = false, plain = false, list = false, check = false;
  bool man = false;
  std::string completion, topic;
  // Verifying.
  std::string filter;
  i64 seeds = 1;
  bool full = false;
  i64 calls = 100000, timing_runs = 3;
  bool constant_time = false;
  bool help = false;
};

using OptionField = std::variant<bool Options::*, i64 Options::*, double Options::*, std::string Options::*,
                                 std::vector<std::string> Options::*>;

struct OptionRow {
  std::string_view names;   // "-p,--prompt"; the last one is the key that verbs name it by. No dash: positional
  std::string_view value;   // what follows, for people: "TEXT"; empty for flags
  std::string_view brief;   // help: at most 26 characters, so that two options fit on a line of 100
  std::string_view detail;  // man page
  OptionField field;
  double low = 0, high = 0;  // numbers: the accepted range, ends included; 0, 0: any
};
std::span<const OptionRow> option_rows();
const OptionRow& option_row(std::string_view key);  // CHECKs that it exists
std::string_view key_of(const OptionRow& row);      // "--prompt"
std::string default_of(const OptionRow& row);       // as text; empty when there is none worth showing

struct Verb {
  std::string_view name;
  std::string_view about;    // one line
  std::string_view options;  // keys of the options it takes, separated by spaces, in the order of the help
  std::string_view example;  // arguments of one useful call
  int (*run)(const Options& options);
};
std::span<const Verb> verbs();
std::vector<const OptionRow*> options_of(const Verb& verb);

// Reads the arguments after the verb. Fault::usage with the nearest known option for what it does not know.
Options parse(const Verb& verb, std::span<const char* const> arguments);
// The verb of that name; Fault::usage with the nearest known one otherwise.
const Verb& find_verb(std::string_view name);

// One screen: at most 24 lines of 100 columns.
std::string help_of_all();
std::string help_of(const Verb& verb);
// Made from the two tables.
std::string manual_page();
std::string completion_script(std::string_view shell);  // bash, zsh, fish

}  // namespace bitkerf
