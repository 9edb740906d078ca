#include "compress/calibration/calibrate.h"

#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "compress/calibration/moments.h"
#include "compress/calibration/naming_source.h"
#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

class Observer final : public InputObserver {
 public:
  explicit Observer(const std::map<const Linear*, std::string>& names) : names_(names) {}

  void see(std::span<const Product> products, Matrix<const float> x, Context& context) noexcept override {
    std::shared_ptr<InputStatistics> own;
    for (const Product& product : products) {
      std::shared_ptr<InputStatistics>& known = sums_[names_.at(product.linear)];
      if (known) own = known;
    }
    if (!own) own = empty(x.cols);
    for (const Product& product : products) sums_[names_.at(product.linear)] = own;
    add(x, *own, context.threads);
  }
  void see(const std::string& name, Matrix<const float> x, Threads& threads) {
    std::shared_ptr<InputStatistics>& own = sums_[name];
    if (!own) own = empty(x.cols);
    add(x, *own, threads);
  }

  // What is there holds sums, upper triangles filled.
  Statistics sums() const {
    Statistics s;
    for (const auto& [name, input] : sums_) s.inputs[name] = input;
    return s;
  }
  void go_on_from(const Statistics& sums) {
    std::map<const InputStatistics*, std::shared_ptr<InputStatistics>> copies;
    for (const auto& [name, input] : sums.inputs) {
      std::shared_ptr<InputStatistics>& copy = copies[input.get()];
      if (!copy) {
        copy = empty(input->cols());
        copy->tokens = input->tokens, copy->mean = input->mean, copy->largest = input->largest;
        std::copy_n(input->moment.view().data, input->cols() * input->cols(), copy->moment.view().data);
      }
      sums_[name] = copy;
    }
  }
  // Sums become means, and the matrices symmetric.
  Statistics finish(Threads& threads) {
    std::map<InputStatistics*, bool> done;
    for (auto& [name, input] : sums_) {
      if (!done.emplace(input.get(), true).second) continue;
      double tokens = static_cast<double>(input->tokens);
      finish_moment(input->moment.view(), tokens, threads);
      for (float& v : input->mean) v = static_cast<float>(v / tokens);
    }
    return sums();
  }

 private:
  static std::shared_ptr<InputStatistics> empty(i64 cols) {
    auto s = std::make_shared<InputStatistics>();
    s->moment = OwnedMatrix<float>(cols, cols);
    s->mean.assign(static_cast<std::size_t>(cols), 0);
    s->largest.assign(static_cast<std::size_t>(cols), 0);
    return s;
  }
  static void add(Matrix<const float> x, InputStatistics& s, Threads& threads) noexcept {
    CHECK_EQ(x.cols, s.cols());
    s.tokens += x.rows;
    add_moment(x, s.moment.view(), threads);
    std::vector<float> sum(static_cast<std::size_t>(x.cols), 0.0f);
    for (i64 t = 0; t < x.rows; t++) {
      const float* row = x.row(t);
      for (i64 c = 0; c < x.cols; c++) {
        sum[static_cast<std::size_t>(c)] += row[c];
        s.largest[static_cast<std::size_t>(c)] = std::max(s.largest[static_cast<std::size_t>(c)], std::fabs(row[c]));
      }
    }
    for (std::size_t c = 0; c < sum.size(); c++) s.mean[c] += sum[c];
  }

  const std::map<const Linear*, std::string>& names_;
  std::map<std::string, std::shared_ptr<InputStatistics>, std::less<>> sums_;
};

// Of what an interrupted pass must agree with to be gone on from.
std::string fingerprint(const std::string& origin, std::span<const std::vector<Token>> windows, const ModelFile& file) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  auto mix = [&](std::uint64_t v) { hash = (hash ^ v) * 1099511628211u; };
  for (const std::vector<Token>& window : windows)
    for (Token token : window) mix(static_cast<std::uint64_t>(token));
  mix(static_cast<std::uint64_t>(file.file_bytes()));
  for (const Tensor& t : file.tensors())
    for (i64 i = 0; i < std::min<i64>(t.bytes, 64); i++) mix(static_cast<std::uint64_t>(t.data[i]));
  return fmt::format("sums of {:016x} {}", hash, origin);
}

// Window number `window` of a text, as the model wants one to start.
std::vector<Token> window_of(const Tokenizer& tokenizer, const std::vector<Token>& text, i64 window, i64 length) {
  std::vector<Token> tokens(text.begin() + window * length, text.begin() + (window + 1) * length);
  if (tokenizer.adds_bos() && tokenizer.bos() >= 0) tokens[0] = tokenizer.bos();
  return tokens;
}
// Of a text of so many windows.
i64 kept_apart(i64 windows) { return windows / 10; }

}  // namespace

std::vector<std::vector<Token>> windows_kept_apart(const Tokenizer& tokenizer, std::span<const CalibrationText> texts, i64 count, i64 length) {
  double all = 0;
  for (const CalibrationText& text : texts) all += text.share;
  std::vector<std::vector<std::vector<Token>>> of_text;
  for (const CalibrationText& text : texts) {
    if (text.share < 0.1 * all) continue;
    const std::vector<Token> tokens = tokenizer.encode_prompt(text.text, Specials::as_text);
    const i64 there = static_cast<i64>(tokens.size()) / length, kept = kept_apart(there), taken = std::min(kept, count);
    std::vector<std::vector<Token>>& windows = of_text.emplace_back();
    for (i64 i = 0; i < taken; i++) windows.push_back(window_of(tokenizer, tokens, there - kept + kept * (2 * i + 1) / (2 * taken), length));
  }
  std::vector<std::vector<Token>> windows;
  for (i64 i = 0; i < count; i++)
    for (auto& text : of_text)
      if (i < static_cast<i64>(text.size())) windows.push_back(std::move(text[static_cast<std::size_t>(i)]));
  return windows;
}

std::vector<std::vector<Token>> calibration_windows(const Tokenizer& tokenizer, std::span<const CalibrationText> texts, i64 count, i64 length) {
  double all = 0;
  for (const CalibrationText& text : texts) all += text.share;
  struct Source {
    std::vector<Token> tokens;
    i64 there, taken;
  };
  std::vector<Source> sources;
  double before = 0;
  for (const CalibrationText& text : texts) {
    Source s{tokenizer.encode_prompt(text.text, Specials::as_text), 0, 0};
    s.there = static_cast<i64>(s.tokens.size()) / length;
    s.there -= kept_apart(s.there);
    double after = before + text.share;
    // Rounded sums, so that all parts together are `count`.
    s.taken = std::min(s.there, static_cast<i64>(std::llround(static_cast<double>(count) * after / all)) -
                                    static_cast<i64>(std::llround(static_cast<double>(count) * before / all)));
    before = after;
    sources.push_back(std::move(s));
  }
  // Window i of n of a text stands at (i + 1/2) / n of the whole.
  std::vector<std::pair<double, std::vector<Token>>> placed;
  for (const Source& s : sources) {
    for (i64 i = 0; i < s.taken; i++) {
      i64 window = s.there * (2 * i + 1) / (2 * s.taken);
      placed.emplace_back((static_cast<double>(i) + 0.5) / static_cast<double>(s.taken), window_of(tokenizer, s.tokens, window, length));
    }
  }
  if (placed.empty()) fail(Fault::usage, "the calibration texts give no window of {} tokens", length);
  std::stable_sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::vector<Token>> windows;
  for (auto& [place, tokens] : placed) windows.push_back(std::move(tokens));
  return windows;
}

Statistics calibrate(const ModelFile& file, std::span<const std::vector<Token>> windows, const std::string& origin, Threads& threads,
                     const Calibration& how) {
  openblas_set_num_threads(1);  // `threads` share the work out
  check_runs(file, "calibrated");
  NamingSource source(file, threads);
  ModelOptions options;
  options.cache = CacheType::f32;
  std::unique_ptr<Model> model = describe_model(file, source, options, threads);
  std::string head = source.has("output.weight") ? "output" : "token_embd";
  i64 length = static_cast<i64>(windows[0].size());
  Arena arena(model->scratch(length, length));
  Observer observer(source.names);
  Context context{threads, arena, chosen_isa()};
  context.observer = &observer;
  std::unique_ptr<SequenceState> sequence = model->new_sequence(length);
  OwnedMatrix<float> hidden(length, model->shape().width);
  std::vector<i64> wanted;
  for (i64 t = 0; t < length; t++) wanted.push_back(t);

  const std::string print = fingerprint(origin, windows, file);
  i64 done = 0, all = static_cast<i64>(windows.size());
  if (!how.state.empty() && std::filesystem::exists(how.state)) {
    Statistics before = load_statistics(how.state);
    if (before.origin == print && before.windows <= all) observer.go_on_from(before), done = before.windows;
  }
  auto save = [&] {
    if (how.state.empty()) return;
    Statistics sums = observer.sums();
    sums.origin = print, sums.windows = done;
    save_statistics(how.state, sums);
  };
  using Clock = std::chrono::steady_clock;
  Clock::time_point saved = Clock::now();
  bool stopped = how.progress && !how.progress(done, all);
  while (done < all && !stopped) {
    const std::vector<Token>& window = windows[static_cast<std::size_t>(done)];
    sequence->truncate(0);
    Run run{0, length, 0};
    Batch batch{.runs = {&run, 1}, .tokens = length};
    SequenceState* state = sequence.get();
    model->forward(window, batch, {&state, 1}, wanted, hidden.view(), context);
    observer.see(head, hidden.view(), threads);
    done++;
    stopped = how.progress && !how.progress(done, all);
    if (done < all && (stopped || std::chrono::duration<double>(Clock::now() - saved).count() > how.seconds_between_saves)) {
      save();
      saved = Clock::now();
    }
  }
  if (done == 0) return {};
  Statistics statistics = observer.finish(threads);
  statistics.origin = origin;
  statistics.windows = done;
  if (done == all && !how.state.empty()) std::filesystem::remove(how.state);
  return statistics;
}

}  // namespace bitkerf
