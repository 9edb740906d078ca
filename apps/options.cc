#include "options.h"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "core/error.h"
#include "core/threads.h"
#include "nearest.h"

namespace bitkerf {
namespace {

constexpr double kMany = 1e15;

constexpr OptionRow kOptions[] = {
    {"-m,--model,model", "MODEL", "GGUF file or HF folder",
     "The model: a GGUF file, the first part of a split one, or a Hugging Face folder. A bare name is also looked for "
     "in the cache folder. May be given without the flag.",
     &Options::model},
    {"other", "MODEL", "the model to compare it with", "The second model, after the first one.", &Options::other},
    {"-p,--prompt", "TEXT", "the text to work on", "The text to work on. Without it and -f, a pipe is read.",
     &Options::prompt},
    {"-f,--file", "FILE", "read the text from FILE", "Read the text from this file; - is the standard input.",
     &Options::file},
    {"-sys,--system-prompt", "TEXT", "what it is told first", "The system message of a chat.", &Options::system},
    {"--chat", "", "TEXT as a chat message",
     "Put the prompt into the model's own chat template, as one message of a user.", &Options::chat},
    {"--special", "", "<|x|> in TEXT is a token",
     "Text that spells a control token becomes that token. Without it, the user's text never does.", &Options::special},
    {"--ignore-eos", "", "do not stop where it ends", "Go on where the model would end its text.",
     &Options::ignore_end},
    {"-r,--reverse-prompt", "TEXT", "stop before TEXT", "Stop before this text. May be repeated.", &Options::stops},
    {"--no-bos", "", "no token in front of the text", "Do not put the model's first token in front of the text.",
     &Options::no_bos},
    {"-n,--predict", "N", "tokens to make; -1: all",
     "How many tokens to make at most; -1: until the model ends its text or the context is full.", &Options::predict,
     -1, kMany},
    {"-n,--max-answer", "N", "tokens a turn; -1: all",
     "How many tokens an answer may have; -1: until the model ends it or the context is full.", &Options::answer, -1,
     kMany},
    {"-c,--ctx-size", "N", "context; 0: the model's",
     "How many tokens a session can hold. 0: what the model was trained for, at most 8192. For eval: the length of a "
     "window, 512 unless given.",
     &Options::context, 0, 1e9},
    {"-t,--threads", "N", "threads; 0: all cores", "How many threads compute. 0: one for each core.", &Options::threads,
     0, kMaxThreads},
    {"-b,--batch-size", "N", "tokens per prefill step", "How many prompt tokens one step computes.", &Options::chunk, 1,
     65536},
    {"-s,--seed", "N", "of sampling; -1: new one", "The same seed gives the same text. -1: a new seed at each start.",
     &Options::seed, -1, kMany},
    {"--temp", "T", "randomness; 0: none", "Temperature of sampling; 0: always the most likely token.",
     &Options::temperature, 0, 100},
    {"--top-k", "K", "of the K likeliest; 0: all", "Sample among the K most likely tokens; 0: among all.",
     &Options::top_k, 0, kMany},
    {"--top-p", "P", "of the best with sum P", "Sample among the most likely tokens whose probabilities sum to P.",
     &Options::top_p, 0, 1},
    {"--min-p", "P", "of those >= P x the best",
     "Sample among the tokens with at least P times the probability of the most likely one.", &Options::min_p, 0, 1},
    {"--typical", "P", "of the typical with sum P",
     "Locally typical sampling: among the tokens whose surprise is nearest to the expected one, summing to P; 1: off.",
     &Options::typical, 0, 1},
    {"--repeat-penalty", "X", "of recent tokens; 1: off",
     "Divide the logits of recent tokens by X (multiply negative ones); 1: off.", &Options::repeat_penalty, 0.01, 100},
    {"--repeat-last-n", "N", "how many tokens; -1: all",
     "How many of the last tokens the three penalties look at; -1: all; 0: none.", &Options::repeat_last_n, -1, kMany},
    {"--presence-penalty", "X", "once per recent token", "Subtract X from the logit of every recent token.",
     &Options::presence_penalty, -100, 100},
    {"--frequency-penalty", "X", "per time it was there",
     "Subtract X from a recent token's logit for each time that it occurred.", &Options::frequency_penalty, -100, 100},
    {"-l,--logit-bias", "ID+X", "add X to token ID's logit",
     "Add X to the logit of token ID, as in 15043+1 or 15043-1; 15043-inf forbids it. May be repeated.",
     &Options::logit_bias},
    {"--form", "NAME", "force one form of weights",
     "Hold every matrix in this form (doctor lists them). Without it, each takes the fastest for its type. For studies: "
     "lmul:m=4, linear=lmul:m=4 or attention=e4m3 name another way to multiply, hadamard/dense a change of basis "
     "(docs/formats.md).",
     &Options::form},
    {"--exec", "HOW", "float or integer",
     "How the model is executed. float: products of integers, floats between them. integer: nothing but integers from token "
     "ids to logits, for decoders of Llama's kind; integer-rescaled is its judge. int-block, of the verb embed: 8-bit blocks with "
     "powers of two as scales (docs/integer.md).",
     &Options::exec},
    {"--bits", "R", "read the top R bits only",
     "Read only the R most significant planes of every matrix that is kept as bit planes; 0: all.", &Options::bits, 0, 8},
    {"--refine", "T", "low 4 bits above T only",
     "Multiply the low 4 bits of 8-bit activations only where they matter: for a token's 32 columns against 32 rows whose low parts times weights "
     "exceed T (0: everywhere, the same bits as without it; inf: nowhere). T is a number, lines PATTERN=NUMBER, or @FILE as allocate --thresholds writes it; "
     "matrices that no pattern matches stay as they are. A study: see docs/formats.md.",
     &Options::refine},
    {"--thresholds", "", "write a file for --refine",
     "Choose thresholds for --refine of run, eval and bench: of the low parts of activations, --share is multiplied on calibration text, those that matter most.",
     &Options::thresholds},
    {"--prune-tokens", "KEEP@L", "keep=0.8@4: drop the rest",
     "After layer L (from 0) keep this part of a prompt's tokens, those that received the most attention there, the first and the last ones among them; "
     "later layers neither compute nor remember the others. Several: keep=0.9@4,keep=0.8@12.",
     &Options::prune_tokens},
    {"-ctk,--cache-type", "TYPE", "cache: int16, f16 or f32",
     "Number type of the cache of keys and values. int16 is the fastest and about as exact as f16.",
     &Options::cache_type},
    {"--isa", "NAME", "portable, avx2 or avx512",
     "Use this instruction-set path. Without it: the best that this processor has.", &Options::isa},
    {"-p,--n-prompt", "N", "prompt tokens; 0: skip", "Length of the prompt of the prefill test; 0: skip the test.",
     &Options::bench_prompt, 0, 1e7},
    {"-n,--n-gen", "N", "tokens to make; 0: skip", "Tokens that the decode test makes; 0: skip the test.",
     &Options::bench_predict, 0, 1e7},
    {"-r,--repetitions", "N", "rounds; the best is shown", "Rounds of every test. The best and the median are shown.",
     &Options::repeats, 1, 10000},
    {"--kernels", "", "time kernels, not a model",
     "Check and time every form that holds a number format on one matrix instead of a model.", &Options::kernels},
    {"--format", "NAME", "its format; default: all", "The number format for --kernels, as in int4.g64; all when not given.",
     &Options::format},
    {"--search", "", "scales of least error", "Search the scales of least squared error instead of those of the largest weights.",
     &Options::search},
    {"--act", "E", "encoding of activations", "Encoding of activations for --kernels, such as int8.row (docs/formats.md); without it, each form's usual one. allocate: "
     "several, with commas between, each with a transform before a bar if it has one; what each does to the inputs is shown. Or profile:4,8: inputs get 4 bits "
     "where that saves the most time for its harm, timed here with --tokens; --high is the recipe with 8.",
     &Options::activation},
    {"--shape", "NxK", "of the matrix", "Rows and columns of the matrix for --kernels.", &Options::shape},
    {"--tokens", "M", "rows of the input", "How many tokens --kernels, or --act profile, multiplies at once.", &Options::tokens, 1, 65536},
    {"--sweep", "", "time all on random shapes",
     "Time every kernel of every form on random shapes (another --seed: others) and write the times as CSV to -o, which "
     "predictions of cost are learned from.", &Options::sweep},
    {"--seconds", "S", "how long to sweep", "How long --sweep goes on; the last shape is finished.", &Options::seconds, 0, 100000},
    {"--fit", "FILE", "learn costs from FILE",
     "Learn the cost of products from the times of --sweep (several such files joined are one), show how well shapes that "
     "were held out are predicted, and keep the model in the cache folder. With -o: write the table with the predictions.",
     &Options::fit},
    {"--cost", "", "also what --fit predicts",
     "Also show how long the products of each test take by the costs that --fit learned.", &Options::cost},
    {"--probe", "", "all that the planner uses",
     "Show what the planner knows of this machine: bandwidth of every level of memory, rates of every kind of instruction, "
     "clocks, by number of threads. Measured once (some 10 s) and kept in the cache folder.", &Options::probe},
    {"--again", "", "measure --probe anew", "Measure --probe anew, and keep the new figures.", &Options::again},
    {"--chunks", "N", "windows to score; -1: all", "How many windows of the text to score; -1: all.", &Options::chunks,
     -1, kMany},
    {"--reference", "MODEL", "compare with this one",
     "Also report the divergence of the model's distributions from this one's, and how often the likeliest tokens "
     "agree. For report: the source, whose plans are shown.",
     &Options::reference},
    {"--recipe", "TEXT", "PATTERN=rtn/int4.g64; ...",
     "What to do with each matrix: lines of PATTERN = TRANSFORM | QUANTIZER/FORMAT | FORM, divided by newlines or semicolons; the last "
     "line that matches counts. @FILE reads them from a file. See docs/formats.md.", &Options::recipe},
    {"--calibration", "FILE", "statistics of calibrate", "Statistics of the model's inputs, as `calibrate` or llama-imatrix writes them, for quantizers that "
     "look at data (gptq).", &Options::calibration},
    {"--calibrate", "TEXT", "texts in place of our mix",
     "Files of text to calibrate on, in equal shares, in place of the mix that is built in; `+` stands for that mix. May be repeated.",
     &Options::calibrate},
    {"--windows", "N", "of 512 tokens to look at", "How many windows of 512 tokens to look at.", &Options::windows, 1, 1000000},
    {"--tune", "", "distil from the source", "Then tune norm gains and scales of rows by distillation from the source, at the same size.", &Options::tune},
    {"--steps", "N", "of two windows each", "Steps of tuning, of two windows of 512 tokens each.", &Options::steps, 1, 100000},
    {"--like", "MODEL", "with this file's recipe", "Follow the recipe that this file of ours was made by, matrix by matrix.",
     &Options::like},
    {"--budget", "B", "64MiB, 3.2bpw, 40tok/s, ..",
     "What the result may cost: 64MiB (the whole file), 3.2bpw, ram=128MiB, 40tok/s (decode here), ttft=300ms@512 (time to the "
     "first token), 1.2x (decode, times uniform 4 bits). May be repeated: all hold at once.", &Options::budgets},
    {"--max-kld", "X", "fewest bytes for this harm",
     "Make the smallest file whose predicted divergence from the source is at most X nats per token.", &Options::max_kld, 0, 100},
    {"--plan", "FILE", "do what this plan says", "Follow this plan (as `plan` prints it, perhaps edited) instead of making one.", &Options::plan_file},
    {"--measured", "CSV", "show its figures too",
     "Also show these files' figures: columns name, MiB, divergence (or perplexity, with a row named source), predicted. May be "
     "repeated.", &Options::measured},
    {"--low", "RECIPE", "of most rows or inputs", "The recipe that most rows or inputs get, without a pattern.", &Options::low},
    {"--high", "RECIPE", "of those that matter more", "The recipe that the --share of rows or inputs gets whose error counts most.", &Options::high},
    {"--share", "PART", "part that gets --high", "Part of the weights (with --inputs: of the products) that gets --high.", &Options::share, 0, 1},
    {"--deal", "NAME", "global, matrix or random", "How --high is dealt out: over the whole model, the same share in every matrix, or by chance.",
     &Options::deal},
    {"--inputs", "", "whole inputs, not rows", "Choose inputs, whose activations --low and --high encode differently, instead of rows.", &Options::inputs},
    {"--svg", "DIR", "each picture alone", "Also write each picture alone, as an SVG file in this folder.", &Options::svg},
    {"--forms", "gguf", "a GGUF for other programs", "gguf: only types of GGUF, and a file that llama.cpp loads.", &Options::forms},
    {"--curve", "", "all sizes and their harm", "Print the Pareto set: the least harm for every size of file.", &Options::curve},
    {"--explain", "LAYER", "why it is as it is", "Print all candidates of this layer with their costs; the chosen one is marked.", &Options::explain},
    {"-o,--output", "FILE", "the file to write", "The file to write; an older one is replaced only when it is whole.",
     &Options::output},
    {"--list", "", "formats, quantizers, forms", "List the number formats with their axes, the quantizers, and which paper is which recipe; with a model, what was "
     "done to each of its matrices.",
     &Options::list},
    {"--json", "", "one JSON object on stdout", "Report as one JSON object on the standard output.", &Options::json},
    {"--plain", "", "print the two speeds only", "Print the two speeds and nothing else.", &Options::plain},
    {"--tensors", "", "list every tensor", "List every tensor with type, shape and bytes.", &Options::list},
    {"--load", "", "also build the model",
     "Build the model as `run` would, so that every weight is checked, and show its memory.", &Options::check},
    {"--man", "", "the manual page, in roff", "Print the manual page, in roff.", &Options::man},
    {"--completion", "SHELL", "for bash, zsh or fish", "Print the completion script for this shell.",
     &Options::completion},
    {"what", "WHAT", "kernels or timing", "What to verify: kernels or timing.", &Options::topic},
    {"--filter", "TEXT", "only names with TEXT", "Only what has this text in its name: FORM FORMAT ENCODING.", &Options::filter},
    {"--seeds", "N", "rounds of random data", "Rounds, each with other random weights and activations.", &Options::seeds, 1, 100000},
    {"--calls", "N", "timed calls per pair", "timing: calls per pair of classes.", &Options::calls, 1000, 1e9},
    {"--runs", "N", "runs of each pair", "timing: how often each pair is measured; all must pass.", &Options::timing_runs, 1, 1000},
    {"--constant-time", "", "time tells no values",
     "Compute in time that does not depend on values (docs/timing.md): numbers below 2^-126 are taken for 0. Kernels never "
     "skip zeros, with or without it.",
     &Options::constant_time},
    {"--full", "", "all pairs, larger shapes", "Every pair of number format and encoding, larger shapes, all edges up to 513 tokens.",
     &Options::full},
    {"verb", "VERB", "the verb to explain", "The verb to explain.", &Options::topic},
    {"-h,--help", "", "this page", "Show the help of the verb.", &Options::help},
};

// CLI11 lets NaN pass its Range.
CLI::Validator range(const OptionRow& row) {
  return CLI::Validator(
      [&row](std::string& text) -> std::string {
        double value = 0;
        if (!CLI::detail::lexical_cast(text, value) || !(value >= row.low && value <= row.high))
          return fmt::format("expected a number from {:g} to {:g}, not '{}'", row.low, row.high, text);
        return {};
      },
      {});
}

// "-ctk": a short name of several letters, as llama.cpp has them. CLI11 knows none, so parse() replaces it by the key.
bool is_long_short(std::string_view name) { return name.size() > 2 && name[0] == '-' && name[1] != '-'; }

template <class Visit>
void each_name(const OptionRow& row, Visit&& visit) {
  for (std::string_view names = row.names; !names.empty();) {
    std::string_view name = names.substr(0, names.find(','));
    visit(name);
    names.remove_prefix(std::min(names.size(), name.size() + 1));
  }
}

void bind(CLI::App& app, const OptionRow& row, Options& options) {
  std::string names;
  each_name(row, [&](std::string_view name) {
    if (!is_long_short(name)) names += (names.empty() ? "" : ",") + std::string(name);
  });
  std::visit(
      [&](auto field) {
        auto& target = options.*field;
        using T = std::remove_reference_t<decltype(target)>;
        if constexpr (std::is_same_v<T, bool>) {
          app.add_flag(names, target);
        } else {
          CLI::Option* option = app.add_option(names, target);
          if constexpr (std::is_arithmetic_v<T>)
            if (row.low != 0 || row.high != 0) option->check(range(row));
          if constexpr (!std::is_same_v<T, std::vector<std::string>>)
            option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
          else
            option->allow_extra_args(false);
        }
      },
      row.field);
}

}  // namespace

std::span<const OptionRow> option_rows() { return kOptions; }

std::string_view key_of(const OptionRow& row) {
  std::string_view names = row.names;
  if (names.ends_with(",model")) names.remove_suffix(6);
  return names.substr(names.rfind(',') + 1);
}

const OptionRow& option_row(std::string_view key) {
  for (const OptionRow& row : kOptions)
    if (key_of(row) == key) return row;
  check_failed(__FILE__, __LINE__, "an option of a verb is in the table", std::string(key));
}

std::string default_of(const OptionRow& row) {
  static const Options defaults;
  if (const auto* field = std::get_if<i64 Options::*>(&row.field)) return fmt::format("{}", defaults.**field);
  if (const auto* field = std::get_if<double Options::*>(&row.field)) return fmt::format("{:g}", defaults.**field);
  if (const auto* field = std::get_if<std::string Options::*>(&row.field)) return defaults.**field;
  return {};
}

std::vector<const OptionRow*> options_of(const Verb& verb) {
  std::vector<const OptionRow*> rows;
  std::string_view keys = verb.options;
  while (!keys.empty()) {
    std::size_t space = keys.find(' ');
    rows.push_back(&option_row(keys.substr(0, space)));
    keys = space == keys.npos ? std::string_view{} : keys.substr(space + 1);
  }
  rows.push_back(&option_row("--help"));
  return rows;
}

const Verb& find_verb(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Verb& verb : verbs()) {
    if (verb.name == name) return verb;
    known.push_back(verb.name);
  }
  bool flag = name.starts_with('-');
  throw Error(Fault::usage,
              fmt::format("unknown {} '{}'; known are: {}", flag ? "flag in front of the verb" : "verb", name,
                          fmt::join(known, ", ")),
              flag ? "flags come after the verb: bitkerf VERB MODEL [flags]" : did_you_mean(name, known));
}

Options parse(const Verb& verb, std::span<const char* const> arguments) {
  Options options;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<std::string_view> known;
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants it
  for (const OptionRow* row : options_of(verb)) {
    bind(app, *row, options);
    each_name(*row, [&](std::string_view name) {
      if (name.starts_with('-')) known.push_back(name);
      if (is_long_short(name))
        std::replace(reversed.begin(), reversed.end(), std::string(name), std::string(key_of(*row)));
    });
  }
  std::string page = fmt::format("bitkerf help {}", verb.name);
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    throw Error(Fault::usage, fmt::format("{}: {}", verb.name, e.what()), page + " lists the options");
  }
  for (const std::string& extra : app.remaining()) {
    if (!extra.starts_with('-') || extra == "-" || extra == "--")
      throw Error(Fault::usage, fmt::format("{}: unexpected argument '{}'", verb.name, extra),
                  "a text with spaces needs quotes; " + page + " lists the options");
    std::string flag = extra.substr(0, extra.find('='));
    throw Error(Fault::usage, fmt::format("{}: unknown option '{}'", verb.name, flag),
                did_you_mean(flag, known, page + " lists the options"));
  }
  return options;
}

}  // namespace bitkerf
