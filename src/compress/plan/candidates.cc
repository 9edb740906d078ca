#include "compress/plan/candidates.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "compress/plan/file_size.h"
#include "compress/plan/step.h"
#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

// What is tried for every matrix. A recipe that does not fit a matrix (no transform of its width) is left out there.
constexpr std::string_view kRecipes[] = {
    "rtn/int2.g64", "rtn/int3.g64", "rtn/int4.g64", "rtn/int5.g64", "rtn/int6.g64", "rtn/int8.g64",
};

struct Segment {
  i64 first = 0, rows = 0;
};
std::vector<Segment> segments_of(const ModelMatrix& matrix) {
  i64 step = matrix.shape.rows;
  std::vector<Segment> segments;
  for (i64 first = 0; first < matrix.shape.rows; first += step) segments.push_back({first, std::min(step, matrix.shape.rows - first)});
  return segments;
}

// Errors that were computed before, in a text file: a line "matrix TAB recipe TAB harm...", one harm a segment.
class ErrorCache {
 public:
  ErrorCache(const std::string& path, const std::string& key) : path_(path) {
    if (path.empty()) return;
    std::ifstream in(path);
    std::string line, complete;
    if (std::getline(in, line) && line == "bitkerf errors 1 " + key) {
      complete = line + "\n";
      while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string matrix, recipe, word;
        std::getline(words, matrix, '\t');
        std::getline(words, recipe, '\t');
        std::vector<double> harms;
        while (std::getline(words, word, ' ')) harms.push_back(std::strtod(word.c_str(), nullptr));
        // The last line may have been cut off by an interruption.
        if (line.empty() || line.back() != '.') continue;
        harms.pop_back();
        known_[{matrix, recipe}] = harms;
        complete += line + "\n";
      }
    } else {
      complete = "bitkerf errors 1 " + key + "\n";
    }
    in.close();
    out_.open(path, std::ios::binary | std::ios::trunc);
    out_ << complete << std::flush;
  }
  const std::vector<double>* find(const std::string& matrix, const std::string& recipe) const {
    auto found = known_.find({matrix, recipe});
    return found == known_.end() ? nullptr : &found->second;
  }
  void keep(const std::string& matrix, const std::string& recipe, const std::vector<double>& harms) {
    known_[{matrix, recipe}] = harms;
    if (!out_.is_open()) return;
    out_ << matrix << '\t' << recipe << '\t';
    for (double harm : harms) out_ << fmt::format("{:.17g} ", harm);
    out_ << ".\n" << std::flush;
  }

 private:
  std::string path_;
  std::map<std::pair<std::string, std::string>, std::vector<double>> known_;
  std::ofstream out_;
};

// dW_r H dW_r^T of every row; without a moment the squares of what rounding changes.
std::vector<double> row_errors(Matrix<const float> weights, const Quantized& quantized, const InputStatistics* input, Threads& threads) {
  std::vector<double> errors(static_cast<std::size_t>(weights.rows));
  threads.split(weights.rows, [&](i64 first, i64 last) {
    std::vector<float> change(static_cast<std::size_t>(weights.cols)), product(static_cast<std::size_t>(weights.cols));
    for (i64 r = first; r < last; r++) {
      for (i64 c = 0; c < weights.cols; c++) change[static_cast<std::size_t>(c)] = weights(r, c) - quantized.weight(r, c);
      double sum = 0;
      if (input && !input->diagonal_only()) {
        std::fill(product.begin(), product.end(), 0.0f);
        for (i64 k = 0; k < weights.cols; k++) {
          float d = change[static_cast<std::size_t>(k)];
          const float* row = input->moment.view().row(k);
          for (i64 c = 0; c < weights.cols; c++) product[static_cast<std::size_t>(c)] += d * row[c];
        }
        for (std::size_t c = 0; c < change.size(); c++) sum += double{change[c]} * product[c];
      } else {
        for (std::size_t c = 0; c < change.size(); c++) sum += double{change[c]} * change[c] * (input ? input->square(static_cast<i64>(c)) : 1.0f);
      }
      errors[static_cast<std::size_t>(r)] = sum;
    }
  });
  return errors;
}

// The harm of one recipe in each segment of a matrix.
std::vector<double> harms_of(const ModelMatrices& matrices, const ModelMatrix& matrix, const std::vector<Segment>& segments, const Recipe& recipe,
                             const CandidateOptions& options, Threads& threads) {
  std::vector<double> errors;
  double squares = 0;
  const InputStatistics* input = options.statistics ? options.statistics->input_of(matrix.name) : nullptr;
  for (const ModelMatrix::Part& part : matrix.parts) {
    OwnedMatrix<float> weights = matrices.weights(part, threads);
    Quantized quantized = recipe.quantizer->run({weights.view(), parse_number_format(recipe.format), threads});
    std::vector<double> of_part = row_errors(weights.view(), quantized, input, threads);
    errors.insert(errors.end(), of_part.begin(), of_part.end());
    for (float w : std::span(weights.view().data, static_cast<std::size_t>(weights.rows() * weights.cols()))) squares += double{w} * w;
  }
  std::vector<float> gradient(errors.size(), input ? 1.0f : static_cast<float>(2 / squares));
  if (options.statistics)
    if (auto known = options.statistics->gradient.find(matrix.name); known != options.statistics->gradient.end() && known->second.size() == errors.size())
      gradient = known->second;
  std::vector<double> harms;
  for (const Segment& s : segments)
    harms.push_back(harm_of(std::span(gradient).subspan(static_cast<std::size_t>(s.first), static_cast<std::size_t>(s.rows)),
                            std::span(errors).subspan(static_cast<std::size_t>(s.first), static_cast<std::size_t>(s.rows))));
  return harms;
}

std::string segment_name(const ModelMatrix& matrix, const Segment& segment) {
  return segment.rows == matrix.shape.rows ? matrix.name : fmt::format("{}[{}:{}]", matrix.name, segment.first, segment.first + segment.rows);
}

// What the products of a candidate are, for the predictor of costs; decode first, then the prompt.
struct Works {
  Work decode, prefill;
};
Works works_of(const PlannedTensor& planned, i64 prompt_tokens, bool head, int threads) {
  const PackedTensor& entry = planned.entry;
  Threads one(1);
  Quantized zeros = Quantized::zeros(parse_number_format(entry.format), {kPanelRows, entry.shape.cols});
  auto linear = form(entry.form).pack(zeros, encoding(entry.input), one);
  Isa isa = chosen_isa();
  Works works;
  for (auto [work, tokens] : {std::pair{&works.decode, i64{1}}, std::pair{&works.prefill, head ? 1 : prompt_tokens}}) {
    *work = describe(entry.form, zeros.format, *linear, linear->choose(isa, tokens), tokens, threads, tokens <= kMostColdTokens);
    work->rows = entry.shape.rows;
    work->bytes = static_cast<double>(planned.bytes);
  }
  return works;
}

// A matrix that is kept: its blocks, multiplied where they lie. Only the roofline knows them.
Works works_of(const Tensor& kept, i64 prompt_tokens, bool head, int threads) {
  Work work{"as_stored/expand", std::string(kept.type->name), "int8.g32", 8, 32, false, 8, 32, 8, kept.rows(), kept.cols(), 1, threads, true,
            static_cast<double>(kept.bytes)};
  Works works{work, work};
  if (!head) works.prefill.tokens = prompt_tokens, works.prefill.cold = prompt_tokens <= kMostColdTokens;
  return works;
}

}  // namespace

double harm_of(std::span<const float> gradient, std::span<const double> row_errors) {
  double sum = 0;
  for (std::size_t r = 0; r < row_errors.size(); r++) sum += gradient[r] * row_errors[r];
  return sum / 2;
}

PlanProblem make_candidates(const ModelFile& file, const ModelMatrices& matrices, const CandidateOptions& options, Threads& threads) {
  PlanProblem problem;
  problem.model = file.metadata().text("general.name", file.path());
  problem.parameters = matrices.shape().parameters;
  problem.prompt_tokens = options.prompt_tokens;
  problem.harm_unit = options.statistics ? "half of gradient times error of outputs" : "relative squared error of weights, summed over matrices";
  ErrorCache cache(options.cache, options.key);
  std::vector<std::string> recipes = options.recipes;
  if (recipes.empty()) recipes.assign(std::begin(kRecipes), std::end(kRecipes));
  std::set<std::string, std::less<>> planned;
  std::vector<Works> works;  // of every candidate in order
  i64 all = 0, done = 0;
  for (const ModelMatrix& m : matrices.list()) all += m.shape.rows * m.shape.cols * static_cast<i64>(recipes.size());
  for (const ModelMatrix& matrix : matrices.list()) {
    planned.insert(matrix.name + ".weight");
    std::vector<Segment> segments = segments_of(matrix);
    std::vector<PlanLayer> layers;
    std::vector<std::vector<Works>> layer_works(segments.size());
    for (const Segment& s : segments) layers.push_back({segment_name(matrix, s), s.rows * matrix.shape.cols, {}});
    for (const std::string& text : recipes) {
      Recipe recipe = RecipeBook("x = " + text).of("x");
      const std::vector<double>* harms = cache.find(matrix.name, recipe.text());
      if (!harms || harms->size() != segments.size()) {
        cache.keep(matrix.name, recipe.text(), harms_of(matrices, matrix, segments, recipe, options, threads));
        harms = cache.find(matrix.name, recipe.text());
      }
      done += matrix.shape.rows * matrix.shape.cols;
      if (options.progress && !options.progress(done, all)) fail(Fault::run_time, "stopped; errors of candidates so far are kept");
      for (std::size_t s = 0; s < segments.size(); s++) {
        Candidate candidate{recipe.text(), 0, (*harms)[s]};
        // A segment is packed by itself; parts of a fused matrix are packed one by one.
        std::vector<PlannedTensor> tensors;
        if (segments.size() > 1 || matrix.parts.size() == 1) {
          tensors.push_back(planned_tensor(matrix.name, {segments[s].rows, matrix.shape.cols}, segments[s].first, matrix.shape.rows, recipe));
        } else {
          for (const ModelMatrix::Part& part : matrix.parts)
            tensors.push_back(planned_tensor(matrix.name, part.linear->shape(), part.first, matrix.shape.rows, recipe));
        }
        for (const PlannedTensor& tensor : tensors) candidate.bytes += bytes_in_file(tensor);
        layer_works[s].push_back(works_of(tensors[0], options.prompt_tokens, matrix.is_head, threads.count()));
        layers[s].candidates.push_back(std::move(candidate));
      }
    }
    if (segments.size() == 1 && matrix.stored) {
      layers[0].candidates.push_back({"keep", bytes_in_file(*matrix.stored), 0});
      layer_works[0].push_back(works_of(*matrix.stored, options.prompt_tokens, matrix.is_head, threads.count()));
    }
    for (std::size_t s = 0; s < segments.size(); s++) {
      problem.layers.push_back(std::move(layers[s]));
      works.insert(works.end(), layer_works[s].begin(), layer_works[s].end());
    }
  }
  problem.fixed_bytes = fixed_bytes_of_file(file, planned);
  if (options.probe) {
    std::size_t at = 0;
    std::vector<double> seconds;
    std::vector<Work> asked;
    for (const Works& w : works) {
      seconds.push_back(roofline_seconds(w.decode, *options.probe));
      seconds.push_back(roofline_seconds(w.prefill, *options.probe));
      if (options.costs) asked.push_back(w.decode), asked.push_back(w.prefill);
    }
    if (options.costs) {
      std::vector<CostModel::Estimate> estimates = options.costs->estimate(asked, *options.probe, threads);
      for (std::size_t i = 0; i < asked.size(); i++)
        if (options.costs->knows(asked[i].kernel)) seconds[i] = estimates[i].seconds;
    }
    for (PlanLayer& layer : problem.layers)
      for (Candidate& candidate : layer.candidates) candidate.seconds_decode = seconds[at++], candidate.seconds_prefill = seconds[at++];
  }
  return problem;
}

}  // namespace bitkerf
