#include "compress/backward/measure_divergence.h"

#include "core/error.h"
#include "models/file_source.h"
#include "models/list.h"

namespace bitkerf {
namespace backward {

DifferentiableDecoder open_decoder(const ModelFile& file, Threads& threads) {
  FileSource source(file, "stored_float", threads, {});
  DecoderSpec spec = describe_decoder(file, source, {});
  return DifferentiableDecoder(spec, load_decoder_weights(spec, source), threads);
}

double mean_divergence(DifferentiableDecoder& source, DifferentiableDecoder& model, std::span<const std::vector<Token>> windows, double first,
                       Threads& threads, const std::function<bool(i64 done, i64 all)>& progress) {
  // As many windows at a time as threads can work on.
  const i64 all = static_cast<i64>(windows.size()), group = source.windows_at_once();
  double sum = 0;
  i64 tokens = 0;
  for (i64 at = 0; at < all; at += group) {
    const i64 count = std::min(group, all - at);
    std::vector<std::span<const Token>> some;
    std::vector<OwnedMatrix<float>> expected, actual;
    std::vector<Matrix<float>> expected_views, actual_views;
    for (i64 i = at; i < at + count; i++) {
      some.emplace_back(windows[static_cast<std::size_t>(i)]);
      const i64 n = static_cast<i64>(some.back().size());
      expected_views.push_back(expected.emplace_back(n, source.spec().shape.width).view());
      actual_views.push_back(actual.emplace_back(n, model.spec().shape.width).view());
    }
    source.forward(some, expected_views);
    model.forward(some, actual_views);
    for (std::size_t w = 0; w < some.size(); w++) {
      const i64 n = actual_views[w].rows, begin = static_cast<i64>(static_cast<double>(n) * first), step = 64, pieces = ceil_div(n - begin, step);
      std::vector<double> sums(static_cast<std::size_t>(pieces));
      auto piece = [&](i64 p) {
        const i64 from = begin + p * step, rows = std::min(step, n - from);
        OwnedMatrix<float> logits(rows, model.spec().shape.vocabulary);
        model.logits(actual_views[w].sub_rows(from, rows), logits.view());
        Loss loss = divergence([&](i64, i64, Matrix<float> out) { source.logits(expected_views[w].sub_rows(from, rows), out); });
        sums[static_cast<std::size_t>(p)] = loss({0, from, logits.view(), 0, {}, {}});
      };
      threads.split(pieces, [&](i64 a, i64 b) {
        for (i64 p = a; p < b; p++) piece(p);
      });
      for (double s : sums) sum += s;
      tokens += n - begin;
    }
    if (progress && !progress(at + count, all)) break;
  }
  return tokens > 0 ? sum / static_cast<double>(tokens) : 0;
}

}  // namespace backward
}  // namespace bitkerf
