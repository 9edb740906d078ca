#include "compress/activations.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "compress/calibration/inputs.h"
#include "compress/recipe.h"
#include "core/error.h"
#include "forms/packed.h"

namespace bitkerf {
namespace {

// What does not change from window to window.
struct Prepared {
  const Encoding* encoding = nullptr;
  const Transform* transform = nullptr;
  OwnedMatrix<float> weights;  // of all readers, W T^-1
};

OwnedMatrix<float> weights_of(const SeenInput& seen, Threads& threads) {
  i64 rows = 0;
  for (const Linear* matrix : seen.matrices) rows += matrix->shape().rows;
  OwnedMatrix<float> w(rows, seen.x.cols);
  i64 first = 0;
  for (const Linear* matrix : seen.matrices) {
    threads.split(matrix->shape().rows, [&](i64 a, i64 b) { matrix->expand(a, w.view().sub_rows(first + a, b - a)); });
    first += matrix->shape().rows;
  }
  return w;
}

Prepared prepare(const ActivationPolicy& policy, const SeenInput& seen, const Statistics& statistics, Threads& threads) {
  Prepared p{policy.plain, nullptr, weights_of(seen, threads)};
  const i64 cols = seen.x.cols;
  if (!policy.rule) return p;
  const TransformRow& row = transform(policy.rule->transform);
  if (!row.fits(cols)) fail(Fault::usage, "'{}': the transform does not fit inputs of {} columns", policy.text, cols);
  p.encoding = &transformed(*policy.plain, &row);
  if (policy.rule->learn) {
    const InputStatistics* input = statistics.input_of(seen.names[0]);
    if (!input || input->cols() != cols)
      throw Error(Fault::usage, fmt::format("'{}' wants statistics of the input of '{}'", policy.text, seen.names[0]), "--calibration FILE, made by `bitkerf calibrate`");
    auto readers = [&] {
      std::vector<OwnedMatrix<float>> all;
      all.push_back(weights_of(seen, threads));
      return all;
    };
    auto samples = [&] {
      OwnedMatrix<float> some(std::min<i64>(seen.x.rows, 256), cols);
      for (i64 t = 0; t < some.rows(); t++) std::copy_n(seen.x.row(t * seen.x.rows / some.rows()), cols, some.view().row(t));
      return some;
    };
    p.encoding = &with_parameters(*p.encoding, cols, policy.rule->learn({policy.argument, *input, readers, samples, threads}));
  }
  p.transform = p.encoding->transform_for(cols);
  transform_weights(*p.transform, p.weights.view(), threads);
  return p;
}

void study(const Prepared& p, const SeenInput& seen, std::span<const double> gradient, ActivationStudy& study, Threads& threads) {
  const i64 tokens = seen.x.rows, cols = seen.x.cols, rows = p.weights.rows();
  const Isa isa = chosen_isa();
  OwnedMatrix<float> turned(tokens, cols), change(tokens, cols), y(tokens, rows), e(tokens, rows);
  OwnedMatrix<double> codes(tokens, cols);
  decode_input(*p.encoding, isa, seen.x, codes.view());
  study.largest.resize(static_cast<std::size_t>(cols));
  for (i64 t = 0; t < tokens; t++) {
    if (p.transform) p.transform->input(isa, seen.x.row(t), turned.view().row(t));
    else std::copy_n(seen.x.row(t), cols, turned.view().row(t));
    for (i64 c = 0; c < cols; c++) {
      const float v = turned(t, c);
      change(t, c) = static_cast<float>(codes(t, c) - v);
      study.zeros += codes(t, c) == 0 && v != 0;
      float& top = study.largest[static_cast<std::size_t>(c)];
      top = std::max(top, std::fabs(v));
    }
  }
  study.values += static_cast<double>(tokens * cols);
  auto multiply = [&](const OwnedMatrix<float>& x, OwnedMatrix<float>& out) {
    threads.split(tokens, [&](i64 first, i64 last) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(last - first), static_cast<blasint>(rows), static_cast<blasint>(cols), 1,
                  x.view().row(first), static_cast<blasint>(x.view().stride), p.weights.view().data, static_cast<blasint>(p.weights.view().stride), 0,
                  out.view().row(first), static_cast<blasint>(out.view().stride));
    });
  };
  multiply(turned, y);
  multiply(change, e);
  for (i64 t = 0; t < tokens; t++)
    for (i64 r = 0; r < rows; r++) {
      const double error = double{e(t, r)} * e(t, r);
      study.error += error;
      study.size += double{y(t, r)} * y(t, r);
      if (!gradient.empty()) study.harm += gradient[static_cast<std::size_t>(r)] * error / 2;
    }
}

}  // namespace

ActivationPolicy::ActivationPolicy(std::string_view given) : text(given) {
  // As a recipe says it.
  const std::size_t bar = given.find('|');
  std::string_view rule = bar == given.npos ? "" : given.substr(0, bar), input = bar == given.npos ? given : given.substr(bar + 1);
  while (input.starts_with(' ')) input.remove_prefix(1);
  const Encoding& e = encoding(input);
  plain = &e.plain();
  if (e.transform) fail(Fault::usage, "'{}': a transform stands before a bar, as in hadamard | int8.row", given);
  if (rule.empty()) return;
  Recipe recipe = RecipeBook(fmt::format("*={}|rtn/int8", rule)).of("x");
  this->rule = recipe.rule;
  argument = recipe.argument;
}

double ActivationStudy::most_to_median() const {
  if (largest.empty()) return 0;
  std::vector<float> sorted = largest;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  return median > 0 ? sorted.back() / median : 0;
}

std::vector<std::vector<ActivationStudy>> study_activations(const ModelFile& file, std::span<const std::vector<Token>> windows,
                                                            std::span<const ActivationPolicy> policies, const Statistics& statistics, Threads& threads,
                                                            const std::function<bool(i64 done, i64 all)>& progress) {
  openblas_set_num_threads(1);  // `threads` share the work out
  std::vector<std::vector<ActivationStudy>> studies(policies.size());
  std::map<std::string, std::size_t> known;  // by the first reader
  double tokens = 0;
  for (const std::vector<Token>& window : windows) tokens += static_cast<double>(window.size());
  watch_inputs(file, windows, threads, [&](const SeenInput& seen) {
    auto [at, fresh] = known.emplace(seen.names[0], known.size());
    std::vector<double> gradient;
    for (const std::string& name : seen.names)
      if (auto found = statistics.gradient.find(name); found != statistics.gradient.end()) gradient.insert(gradient.end(), found->second.begin(), found->second.end());
    for (std::size_t i = 0; i < policies.size(); i++) {
      Prepared p = prepare(policies[i], seen, statistics, threads);
      if (static_cast<i64>(gradient.size()) != p.weights.rows()) gradient.clear();
      if (fresh) studies[i].emplace_back();
      ActivationStudy& own = studies[i][at->second];
      own.matrices = seen.names;
      own.cols = seen.x.cols, own.rows = p.weights.rows();
      study(p, seen, gradient, own, threads);
    }
  }, progress);
  for (std::vector<ActivationStudy>& list : studies)
    for (ActivationStudy& own : list) own.harm /= tokens;
  return studies;
}

}  // namespace bitkerf
