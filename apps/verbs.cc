#include "verbs.h"

namespace bitkerf {
namespace {

#define SAMPLING                                                                                         \
  "--seed --temp --top-k --top-p --min-p --typical --repeat-penalty --repeat-last-n --presence-penalty " \
  "--frequency-penalty --logit-bias "
#define COMPUTING "--threads --batch-size --form --bits --cache-type --isa --constant-time "

constexpr Verb kVerbs[] = {
    {"run", "Continue a text",
     "--model --prompt --file --chat --system-prompt --special --predict --ctx-size --ignore-eos "
     "--reverse-prompt " SAMPLING "--exec " COMPUTING "--refine --prune-tokens --json",
     "model.gguf -p \"The three primary colours are\" -n 32 --temp 0", run_verb_run},
    {"chat", "Talk with a model",
     "--model --system-prompt --max-answer --ctx-size --reverse-prompt " SAMPLING COMPUTING,
     "model.gguf -sys \"Answer in one sentence.\"", run_verb_chat},
    {"tokenize", "Print a text's token ids", "--model --prompt --file --special --no-bos --json",
     "model.gguf -p \"Hello world\"", run_verb_tokenize},
    {"info", "Show what a model file holds",
     "--model --tensors --load --ctx-size --threads --form --cache-type --isa --json", "model.gguf", run_verb_info},
    {"eval", "Perplexity of a text; divergence from a reference model",
     "--model --file --prompt --ctx-size --chunks --reference --exec " COMPUTING "--refine --prune-tokens --json", "model.gguf -f book.txt -c 512",
     run_verb_eval},
    {"embed", "Vectors of texts, a line each, by an encoder in integers", "--model --file --prompt --exec --threads --isa --json",
     "all-MiniLM-L6-v2 -p \"A text.\"", run_verb_embed},
    {"bench", "Speed of prefill and decode, and its share of this machine's limits",
     "--model --n-prompt --n-gen --repetitions --kernels --format --act --shape --tokens --sweep --fit --cost --seconds --seed --output " COMPUTING "--refine --prune-tokens --json --plain", "model.gguf -p 512 -n 128 -r 3",
     run_verb_bench},
    {"quantize", "Write a model with its matrices in other number formats",
     "--model --recipe --like --calibration --output --threads --list --json", "model.gguf --recipe \"*=rtn/int4.g64\" -o small.gguf",
     run_verb_quantize},
    {"plan", "Show what would be done to fit a model into a budget",
     "--model --budget --max-kld --curve --explain --forms --calibrate --windows --calibration --ctx-size --threads --json", "model.gguf --budget 64MiB", run_verb_plan},
    {"compress", "Fit a model into a budget",
     "--model --budget --max-kld --plan --forms --output --calibrate --windows --calibration --tune --steps --ctx-size --threads --json", "model.gguf --budget 64MiB -o small.gguf",
     run_verb_compress},
    {"compare", "The answers of two models side by side",
     "--model other --prompt --file --chat --system-prompt --special --predict --ctx-size " COMPUTING "--json", "big.gguf small.gguf --chat -p \"What is bread?\"",
     run_verb_compare},
    {"report", "A page about a compressed file: bits, bytes, and what other sizes would cost",
     "--model --reference --measured --output --svg --forms --calibrate --windows --calibration --threads --json", "small.gguf --reference model.gguf -o report.html",
     run_verb_report},
    {"calibrate", "Gather statistics of a model's inputs for quantizers that look at data", "--model --output --calibrate --windows --threads --json",
     "model.gguf -o model.statistics.gguf", run_verb_calibrate},
    {"allocate", "Deal two recipes out over a model's rows or inputs; --act: judge activations",
     "--model --low --high --share --deal --inputs --act --tokens --thresholds --calibration --file --calibrate --chunks --seed --output --threads --json",
     "model.gguf --low rtn/int4 --high rtn/int8 --calibration FILE -o plan", run_verb_allocate},
    {"tune", "Lower a compressed model's divergence from its source, at the same size", "--model --reference --output --calibrate --steps --threads --json",
     "small.gguf --reference model.gguf -o tuned.gguf", run_verb_tune},
    {"compare-formats", "How well number formats keep a model's matrices", "--model --format --search --threads --json",
     "model.gguf --format mxfp4,nvfp4,int4.g32", run_verb_compare_formats},
    {"verify", "Check that kernels are right and that their time tells nothing", "what --filter --seeds --full --calls --runs --constant-time --json",
     "kernels --filter \"bit_planes int4\"", run_verb_verify},
    {"doctor", "Show this machine: processor, chosen paths, measured limits",
     "--threads --isa --probe --again --json", "",
     run_verb_doctor},
    {"help", "Explain a verb", "verb --man --completion", "run", run_verb_help},
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

}  // namespace bitkerf
