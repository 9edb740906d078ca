// Perplexity of a text, and how far a model's predictions are from a reference's.
#include "engine/evaluate.h"

#include "core/error.h"
#include "exec.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "refined.h"
#include "verbs.h"

namespace bitkerf {

int run_verb_eval(const Options& options) {
  std::string text = read_text(options);
  Options loading = options;
  if (loading.context == 0) loading.context = 512;
  std::unique_ptr<Engine> engine = load_engine(loading);
  std::unique_ptr<Engine> reference;
  if (!options.reference.empty()) {
    loading.exec = kFloatExec;  // what is judged is how it is executed as well
    reference = load_engine(loading, model_path(options.reference));
  }

  std::vector<Token> tokens = engine->tokenizer().encode_prompt(text, Specials::as_text);
  Evaluation result;
  {
    Progress progress("scoring", "windows");
    result = evaluate(*engine, tokens, {.window = loading.context, .windows = options.chunks}, reference.get(),
                      [&](i64 done, i64 all, double) { progress.show(done, all); });
  }
  nlohmann::ordered_json report = {{"ppl", result.perplexity},
                                   {"ppl_error", result.perplexity_error},
                                   {"tokens", result.tokens},
                                   {"windows", result.windows}};
  if (result.compared) {
    report["ppl_reference"] = result.reference_perplexity;
    report["kld_mean"] = result.kld_mean;
    report["kld_99"] = result.kld_99;
    report["same_top"] = result.same_top;
  }
  if (!options.prune_tokens.empty()) report["prompt_tokens"] = result.prompts, report["prompt_tokens_held"] = result.held;
  if (Refinement* refinement = engine->refinement()) report["products"] = products_json(*refinement);
  if (options.json) return print_json(report), 0;

  std::string lines =
      fmt::format("perplexity     {:.4f} +- {:.4f}   ({} tokens in {} windows of {})\n", result.perplexity,
                  result.perplexity_error, result.tokens, result.windows, loading.context);
  if (result.compared)
    lines += fmt::format("reference      {:.4f}\ndivergence     {:.6f} mean, {:.6f} at 99 %\nsame likeliest {:.2f} %\n",
                         result.reference_perplexity, result.kld_mean, result.kld_99, 100 * result.same_top);
  if (!options.prune_tokens.empty())
    lines += fmt::format("pruned         {} of {} prompt tokens are left in the last layer; what follows them is scored\n", result.held, result.prompts);
  if (Refinement* refinement = engine->refinement()) lines += products_text(*refinement);
  print(lines);
  return 0;
}

}  // namespace bitkerf
