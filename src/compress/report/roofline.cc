#include "compress/report/roofline.h"

#include <algorithm>
#include <map>

#include "core/check.h"

namespace bitkerf {

Plot roofline_plot(const Probe& probe, int threads, std::span<const RooflineStep> steps) {
  const double read = probe.value("read.memory", threads), rate = probe.value("rate.int8_dot", threads);
  Plot plot{"Products on this machine's roofline", "operations per byte of weights", "Gop/s", true, true, false, {}, true};
  double low = 1, high = 1;
  for (const RooflineStep& step : steps) {
    CHECK_EQ(step.products.size(), step.seconds.size());
    PlotSeries series{step.name, {}};
    std::map<std::string, std::pair<std::size_t, int>> known;  // place of its point, how many
    for (std::size_t i = 0; i < step.products.size(); i++) {
      const Work& w = step.products[i];
      const double ops = 2.0 * static_cast<double>(w.rows) * static_cast<double>(w.cols) * static_cast<double>(w.tokens);
      if (!(w.bytes > 0) || !(step.seconds[i] > 0)) continue;
      const std::string name = fmt::format("{}x{}, {} by {}", w.rows, w.cols, w.format, w.kernel);
      auto [at, fresh] = known.emplace(name, std::pair{series.points.size(), 0});
      if (fresh) series.points.push_back({ops / w.bytes, ops / step.seconds[i] / 1e9});
      at->second.second++;
      low = std::min(low, ops / w.bytes), high = std::max(high, ops / w.bytes);
    }
    for (const auto& [name, place] : known) series.points[place.first].title = fmt::format("{} x {}", place.second, name);
    plot.series.push_back(std::move(series));
  }
  if (read > 0 && rate > 0) {
    PlotSeries roof{fmt::format("the roof: {:.0f} GB/s, {:.0f} Gop/s", read / 1e9, rate / 1e9), {}, true};
    std::vector<double> corners = {low};
    if (const double ridge = rate / read; ridge > low && ridge < high) corners.push_back(ridge);
    corners.push_back(high);
    for (double x : corners) roof.points.push_back({x, std::min(read * x, rate) / 1e9});
    plot.series.push_back(std::move(roof));
  }
  return plot;
}

}  // namespace bitkerf
