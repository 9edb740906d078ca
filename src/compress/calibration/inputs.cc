#include "compress/calibration/inputs.h"

#include <exception>
#include <map>

#include "compress/calibration/naming_source.h"
#include "models/list.h"

namespace bitkerf {
namespace {

class Watcher final : public InputObserver {
 public:
  Watcher(const std::map<const Linear*, std::string>& names, const std::function<void(const SeenInput&)>& see) : names_(names), see_(see) {}
  void see(std::span<const Product> products, Matrix<const float> x, Context&) noexcept override {
    SeenInput seen;
    for (const Product& product : products) {
      seen.names.push_back(names_.at(product.linear));
      seen.matrices.push_back(product.linear);
    }
    seen.x = x;
    if (error) return;
    try {
      see_(seen);
    } catch (...) {
      error = std::current_exception();  // nothing passes through a model
    }
  }
  std::exception_ptr error;

 private:
  const std::map<const Linear*, std::string>& names_;
  const std::function<void(const SeenInput&)>& see_;
};

}  // namespace

void watch_inputs(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads, const std::function<void(const SeenInput&)>& see,
                  const std::function<bool(i64 done, i64 all)>& progress) {
  if (windows.empty()) return;
  NamingSource source(file, threads);
  ModelOptions options;
  options.cache = CacheType::f32;
  std::unique_ptr<Model> model = describe_model(file, source, options, threads);
  i64 longest = 0, done = 0;
  for (const std::vector<Token>& window : windows) longest = std::max(longest, static_cast<i64>(window.size()));
  Arena arena(model->scratch(longest, longest));
  Watcher watcher(source.names, see);
  Context context{threads, arena, chosen_isa()};
  context.observer = &watcher;
  std::unique_ptr<SequenceState> sequence = model->new_sequence(longest);
  OwnedMatrix<float> hidden(longest, model->shape().width);
  std::vector<i64> wanted;
  for (i64 t = 0; t < longest; t++) wanted.push_back(t);
  for (const std::vector<Token>& window : windows) {
    if (progress && !progress(done, static_cast<i64>(windows.size()))) return;
    sequence->truncate(0);
    const auto length = static_cast<i64>(window.size());
    Run run{0, length, 0};
    Batch batch{.runs = {&run, 1}, .tokens = length};
    SequenceState* state = sequence.get();
    model->forward(window, batch, {&state, 1}, std::span(wanted).first(window.size()), hidden.view().sub_rows(0, length), context);
    if (watcher.error) std::rethrow_exception(watcher.error);
    done++;
  }
  if (progress) progress(done, static_cast<i64>(windows.size()));
}

}  // namespace bitkerf
