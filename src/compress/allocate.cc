#include "compress/allocate.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "compress/activations.h"
#include "compress/plan/matrices.h"
#include "compress/plan/timing.h"
#include "compress/quantizers/hessian.h"
#include "compress/quantizers/row_errors.h"
#include "compress/recipe.h"
#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

constexpr DealRow kDeals[] = {
    {"global", "where a byte or a product lowers the predicted divergence most, whole model", false, true},
    {"matrix", "the same share in every matrix", true, true},
    {"random", "by chance", false, false},
};

// What may get the better recipe.
struct Choice {
  double gain, cost;
  std::size_t group;  // a matrix
};

// Those that get it: the highest gain for the cost first, while the share lasts.
std::vector<bool> dealt(const std::vector<Choice>& choices, const Allocation& allocation) {
  std::vector<std::size_t> order(choices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (allocation.deal->by_harm) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return choices[a].gain * choices[b].cost > choices[b].gain * choices[a].cost; });
  } else {
    std::mt19937 random(allocation.seed);
    for (std::size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random() % i]);
  }
  std::map<std::size_t, double> all, used;
  auto group = [&](const Choice& c) { return allocation.deal->per_matrix ? c.group : 0; };
  for (const Choice& c : choices) all[group(c)] += c.cost;
  std::vector<bool> picked(choices.size());
  for (std::size_t i : order) {
    const Choice& c = choices[i];
    double& so_far = used[group(c)];
    if (so_far + c.cost > allocation.share * all[group(c)] * (1 + 1e-9)) continue;
    so_far += c.cost;
    picked[i] = true;
  }
  return picked;
}

Recipe recipe_of_text(const std::string& text) {
  Recipe recipe = RecipeBook("x = " + text).of("x");
  if (recipe.keep || (recipe.rule && recipe.rule->learn)) fail(Fault::usage, "'{}': expected a recipe whose transform, if any, has no parameters", text);
  return recipe;
}

bool matches(const Allocation& allocation, const std::string& matrix) { return fnmatch(allocation.matrices.c_str(), matrix.c_str(), 0) == 0; }

// "[0:9,12:13]" of the rows that are `wanted`.
std::string ranges_text(std::span<const char> rows, char wanted) {
  std::string text;
  for (std::size_t first = 0, end; first < rows.size(); first = end) {
    for (end = first + 1; end < rows.size() && rows[end] == rows[first];) end++;
    if (rows[first] == wanted) text += fmt::format("{}{}:{}", text.empty() ? "[" : ",", first, end);
  }
  return text + "]";
}

// Of all matrices that read one input together, by the encoding of each recipe.
struct Seconds {
  double low = 0, high = 0;
  double saved() const { return std::max(high - low, 0.0); }
};
class Profile {
 public:
  Profile(std::span<const Recipe> recipes, i64 tokens, Threads& threads) : recipes_(recipes), tokens_(tokens), threads_(threads) {}
  const Seconds& of(Shape shape) {
    auto [at, fresh] = known_.try_emplace({shape.rows, shape.cols});
    if (!fresh) return at->second;
    ProductTimer timer(chosen_isa(), shape.rows, shape.cols, tokens_);
    double* seconds[] = {&at->second.low, &at->second.high};
    std::unique_ptr<PackedLinear> packed[2];
    for (std::size_t i = 0; i < 2; i++)
      packed[i] = form(recipes_[i].form).pack(random_weights(parse_number_format(recipes_[i].format), shape), encoding(recipes_[i].input), threads_);
    // In turns, so that both see the same machine.
    for (int round = 0; round < kRounds; round++)
      for (std::size_t i = 0; i < 2; i++) {
        const double s = timer.seconds(*packed[i], tokens_, tokens_ <= kMostColdTokens, threads_, {});
        *seconds[i] = round == 0 ? s : std::min(*seconds[i], s);
      }
    // A difference within what runs differ by is none.
    if (at->second.low > 0.97 * at->second.high) at->second.low = at->second.high;
    return at->second;
  }

 private:
  static constexpr int kRounds = 9;
  std::span<const Recipe> recipes_;
  i64 tokens_;
  Threads& threads_;
  std::map<std::pair<i64, i64>, Seconds> known_;
};

std::string kind_of(const std::string& matrix) { return matrix.substr(matrix.rfind('.') + 1); }

struct Share {
  double picked = 0, all = 0;
};
std::string shares_text(const std::map<std::string, Share>& shares) {
  std::string text;
  for (const auto& [kind, share] : shares) text += fmt::format("# {:12} {:5.1f} %\n", kind, 100 * share.picked / share.all);
  return text;
}

}  // namespace

std::span<const DealRow> deals() { return kDeals; }
const DealRow& deal(std::string_view name) {
  std::string known;
  for (const DealRow& row : kDeals) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown way to deal out '{}': expected one of {}", name, known);
}

std::string allocate_rows(const ModelFile& file, const Statistics& statistics, const Allocation& allocation, Threads& threads,
                          const std::function<bool(i64 done, i64 all)>& progress) {
  const Recipe low = recipe_of_text(allocation.low), high = recipe_of_text(allocation.high);
  ModelMatrices matrices(file, threads);
  std::vector<Choice> choices;
  std::vector<const ModelMatrix*> planned;
  i64 all = 0, done = 0;
  for (const ModelMatrix& m : matrices.list()) all += matches(allocation, m.name) ? m.shape.rows * m.shape.cols : 0;
  struct Basis {
    const InputStatistics* input = nullptr;
    const TransformRow* row = nullptr;
    std::unique_ptr<Hessian> hessian;
  } kept[2];
  for (const ModelMatrix& matrix : matrices.list()) {
    if (!matches(allocation, matrix.name)) continue;
    const InputStatistics* input = statistics.input_of(matrix.name);
    auto gradient = statistics.gradient.find(matrix.name);
    if (!input || input->diagonal_only() || gradient == statistics.gradient.end() || static_cast<i64>(gradient->second.size()) != matrix.shape.rows)
      throw Error(Fault::usage, fmt::format("ranking rows wants moments of the input and gradients of the output of '{}'", matrix.name),
                  "--calibration FILE, made by `bitkerf calibrate`");
    std::vector<double> errors[2];
    for (int which = 0; which < 2; which++) {
      const Recipe& recipe = which ? high : low;
      const Transform* transform = nullptr;
      if (recipe.transform) {
        if (!recipe.transform->fits(matrix.shape.cols)) fail(Fault::usage, "the transform {} does not fit '{}'", recipe.transform->name, matrix.name);
        transform = &transform_of(*recipe.transform, matrix.shape.cols);
      }
      Basis& basis = kept[which];
      if (basis.input != input || basis.row != recipe.transform || !basis.hessian) basis = {input, recipe.transform, std::make_unique<Hessian>(*input, transform, threads)};
      for (const ModelMatrix::Part& part : matrix.parts) {
        OwnedMatrix<float> weights = matrices.weights(part, threads);
        if (transform) transform_weights(*transform, weights.view(), threads);
        Quantized quantized = recipe.quantizer->run({weights.view(), parse_number_format(recipe.format), threads, basis.hessian.get()});
        for (const RowError& error : row_errors(weights.view(), quantized, basis.hessian->moment(), nullptr, threads)) errors[which].push_back(error.of_output);
      }
    }
    for (std::size_t r = 0; r < errors[0].size(); r++)
      choices.push_back({gradient->second[r] * (errors[0][r] - errors[1][r]) / 2, static_cast<double>(matrix.shape.cols), planned.size()});
    planned.push_back(&matrix);
    done += matrix.shape.rows * matrix.shape.cols;
    if (progress && !progress(done, all)) fail(Fault::run_time, "stopped");
  }
  std::vector<bool> picked = dealt(choices, allocation);
  double gain = 0;
  std::map<std::string, Share> shares;
  std::string lines;
  std::size_t at = 0;
  for (const ModelMatrix* matrix : planned) {
    std::vector<char> rows;
    for (i64 r = 0; r < matrix->shape.rows; r++, at++) {
      rows.push_back(picked[at]);
      Share& share = shares[kind_of(matrix->name)];
      share.all += 1, share.picked += picked[at];
      if (picked[at]) gain += choices[at].gain;
    }
    const bool some = std::count(rows.begin(), rows.end(), 1) > 0, others = std::count(rows.begin(), rows.end(), 0) > 0;
    if (others) lines += fmt::format("{}{} = {}\n", matrix->name, some ? ranges_text(rows, 0) : "", low.text());
    if (some) lines += fmt::format("{}{} = {}\n", matrix->name, others ? ranges_text(rows, 1) : "", high.text());
  }
  return fmt::format("# rows with the second recipe, dealt out {}, lower the predicted divergence by {:.4g}:\n{}{}", allocation.deal->name, gain,
                     shares_text(shares), lines);
}

std::string allocate_inputs(const ModelFile& file, std::span<const std::vector<Token>> windows, const Statistics& statistics, const Allocation& allocation,
                            Threads& threads, const std::function<bool(i64 done, i64 all)>& progress) {
  const Recipe recipes[] = {recipe_of_text(allocation.low), recipe_of_text(allocation.high)};
  std::vector<ActivationPolicy> policies;
  for (const Recipe& recipe : recipes)
    policies.emplace_back(fmt::format("{}{}", recipe.rule ? fmt::format("{} | ", recipe.rule->name) : "", encoding(recipe.input).plain().name));
  std::vector<std::vector<ActivationStudy>> studies = study_activations(file, windows, policies, statistics, threads, progress);
  std::vector<Choice> choices;
  Profile profile(recipes, allocation.profile_tokens, threads);
  std::map<std::string, Seconds> seconds;
  for (std::size_t i = 0; i < studies[0].size(); i++) {
    const ActivationStudy &a = studies[0][i], &b = studies[1][i];
    double cost = static_cast<double>(a.rows * a.cols);
    if (allocation.profile_tokens > 0) {
      const Seconds& s = seconds[kind_of(a.matrices[0])] = profile.of({a.rows, a.cols});
      cost = s.saved();
    }
    // Without gradients: relative errors of outputs, all inputs alike.
    const bool known = a.harm > 0;
    choices.push_back({known ? a.harm - b.harm : a.error / a.size - b.error / b.size, cost, i});
  }
  std::vector<bool> picked = dealt(choices, allocation);
  std::string lines;
  std::map<std::string, Share> shares;
  double harm = 0;
  for (std::size_t i = 0; i < choices.size(); i++) {
    harm += studies[picked[i] ? 1 : 0][i].harm;
    for (const std::string& matrix : studies[0][i].matrices) {
      if (!matches(allocation, matrix)) continue;
      Share& share = shares[kind_of(matrix)];
      share.all += 1, share.picked += picked[i];
      lines += fmt::format("{} = {}\n", matrix, recipes[picked[i] ? 1 : 0].text());
    }
  }
  std::string times;
  for (const auto& [kind, s] : seconds)
    times += fmt::format("# {:12} {:.3f} ms with {}, {:.3f} with {}, of {} tokens\n", kind, 1e3 * s.low, recipes[0].input, 1e3 * s.high, recipes[1].input,
                         allocation.profile_tokens);
  return fmt::format("# inputs with the second recipe, dealt out {}, predicted divergence of activations {:.4g}:\n{}{}{}", allocation.deal->name, harm,
                     shares_text(shares), times, lines);
}

}  // namespace bitkerf
