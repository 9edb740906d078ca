#include "compress/report/pictures.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/printable.h"

namespace bitkerf {
namespace {

constexpr std::string_view kPalette[] = {"#1f6f8b", "#c8553d", "#588157", "#7d5ba6", "#8d6a42", "#444444"};
constexpr double kLeastWidth = 360;  // room for a title
constexpr std::size_t kLongestText = 2000;
constexpr double kWidth = 720, kHeight = 400, kLeft = 70, kRight = 20, kTop = 36, kBottom = 50;

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  double from = 0, to = 1;  // pixels

  double place(double v) const {
    double t =
        logarithmic ? (std::log(v) - std::log(low)) / (std::log(high) - std::log(low)) : (v - low) / (high - low);
    return from + t * (to - from);
  }
  bool shows(double v) const { return std::isfinite(v) && (!logarithmic || v > 0); }
  // Round numbers inside.
  std::vector<double> marks() const {
    std::vector<double> list;
    if (logarithmic) {
      for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
        for (double m : {1.0, 2.0, 5.0})
          if (decade * m >= low * 0.999 && decade * m <= high * 1.001) list.push_back(decade * m);
      return list;
    }
    double rough = (high - low) / 6, power = std::pow(10, std::floor(std::log10(rough))), step = power;
    for (double m : {1.0, 2.0, 5.0, 10.0})
      if (power * m >= rough) {
        step = power * m;
        break;
      }
    for (double v = std::ceil(low / step) * step; v <= high + step * 1e-9; v += step)
      list.push_back(std::fabs(v) < step * 1e-9 ? 0 : v);
    return list;
  }
};

Axis axis_of(std::vector<double> values, bool logarithmic, double from, double to) {
  Axis axis{logarithmic ? 0.1 : 0, 1, logarithmic, from, to};
  std::erase_if(values, [&](double v) { return !axis.shows(v); });
  if (values.empty()) return axis;
  auto [low, high] = std::minmax_element(values.begin(), values.end());
  double room = logarithmic ? 0 : 0.06 * (*high - *low);
  axis.low = logarithmic ? *low / 1.15 : *low - room;
  axis.high = logarithmic ? *high * 1.15 : *high + room;
  if (axis.high <= axis.low) axis.high = axis.low + 1, axis.low -= logarithmic ? 0 : 1;
  return axis;
}

// Few bits are pale, many dark: 0 up to 1.5 bits, 1 from 6.5 on.
double darkness(double bits) { return std::clamp((bits - 1.5) / 5, 0.0, 1.0); }
std::string shade(double bits) {
  double t = darkness(bits);
  auto mix = [&](double a, double b) { return static_cast<int>(a + t * (b - a) + 0.5); };
  return fmt::format("rgb({},{},{})", mix(244, 11), mix(238, 60), mix(222, 73));
}

}  // namespace

std::string xml_text(std::string_view text) {
  constexpr std::pair<char, std::string_view> kEscapes[] = {
      {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
  std::string out;
  for (char c : printable(text, kLongestText)) {
    auto escape =
        std::find_if(std::begin(kEscapes), std::end(kEscapes), [c](const auto& row) { return row.first == c; });
    if (escape == std::end(kEscapes))
      out += c;
    else
      out += escape->second;
  }
  return out;
}

std::string plot_svg(const Plot& plot) {
  std::vector<double> xs, ys;
  for (const PlotSeries& series : plot.series)
    for (const PlotPoint& p : series.points) xs.push_back(p.x), ys.push_back(p.y);
  Axis x = axis_of(xs, plot.log_x, kLeft, kWidth - kRight), y = axis_of(ys, plot.log_y, kHeight - kBottom, kTop);
  if (plot.diagonal) {
    double low = std::min(x.low, y.low), high = std::max(x.high, y.high);
    x.low = y.low = low, x.high = y.high = high;
  }
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n<text x=\"{2}\" y=\"20\" font-size=\"15\">{3}</text>\n",
      kWidth, kHeight, kLeft, xml_text(plot.title));
  for (double v : x.marks())
    svg += fmt::format(
        "<path d=\"M{0:.1f} {1}V{2}\" stroke=\"#ddd\"/><text x=\"{0:.1f}\" y=\"{3}\" "
        "text-anchor=\"middle\">{4:g}</text>\n",
        x.place(v), kTop, kHeight - kBottom, kHeight - kBottom + 16, v);
  for (double v : y.marks())
    svg += fmt::format(
        "<path d=\"M{0} {1:.1f}H{2}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5:g}</text>\n",
        kLeft, y.place(v), kWidth - kRight, kLeft - 6, y.place(v) + 4, v);
  if (plot.diagonal)
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke=\"#888\" stroke-dasharray=\"4 4\"/>\n",
                       x.place(x.low), y.place(y.low), x.place(x.high), y.place(y.high));
  svg += fmt::format(
      "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n<text transform=\"translate(16 {:.1f}) "
      "rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
      (kLeft + kWidth - kRight) / 2, kHeight - 12, xml_text(plot.x_title), (kTop + kHeight - kBottom) / 2,
      xml_text(plot.y_title));
  // Where points are rarely: sizes and harm fall to the right, predictions lie along the diagonal.
  const double legend_left = kLeft + 12;
  double legend = plot.diagonal || plot.legend_above ? kTop + 20 : kHeight - kBottom - 16.0 * static_cast<double>(plot.series.size());
  for (std::size_t i = 0; i < plot.series.size(); i++) {
    const PlotSeries& series = plot.series[i];
    std::string_view color = kPalette[i % std::size(kPalette)];
    std::string path, points;
    for (const PlotPoint& p : series.points) {
      if (!x.shows(p.x) || !y.shows(p.y)) continue;
      double px = x.place(p.x), py = y.place(p.y);
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px, py);
      points +=
          fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{} ({:.4g}, {:.4g})</title></circle>\n", px,
                      py, series.line ? 2.5 : 4, xml_text(!p.title.empty() ? p.title : p.label.empty() ? series.name : p.label), p.x, p.y);
      if (!p.label.empty())
        points += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"10\">{}</text>\n", px + 6, py - 5,
                              xml_text(p.label));
    }
    if (series.line && !path.empty())
      points += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path, color);
    svg += fmt::format(
        "<g class=\"{}\" fill=\"{}\">\n{}<rect x=\"{}\" y=\"{:.1f}\" width=\"10\" height=\"10\"/><text x=\"{}\" "
        "y=\"{:.1f}\">{}</text>\n</g>\n",
        series.line ? "line" : "points", color, points, legend_left, legend - 9, legend_left + 15, legend,
        xml_text(series.name));
    legend += 16;
  }
  return svg + "</svg>\n";
}

std::string bit_map_svg(const std::string& title, const std::vector<BitCell>& cells) {
  std::vector<std::string> rows, columns;
  auto place = [](std::vector<std::string>& list, const std::string& name) {
    auto found = std::find(list.begin(), list.end(), name);
    if (found == list.end()) return list.push_back(name), list.size() - 1;
    return static_cast<std::size_t>(found - list.begin());
  };
  for (const BitCell& cell : cells) place(rows, cell.row), place(columns, cell.column);
  const double width = 78, height = 15, left = 90, top = 56;
  double all_width = std::max(left + width * static_cast<double>(columns.size()) + 20, kLeastWidth),
         all_height = top + height * static_cast<double>(rows.size()) + 10;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n<text x=\"10\" y=\"20\" font-size=\"15\">{2}</text>\n",
      all_width, all_height, xml_text(title));
  for (std::size_t c = 0; c < columns.size(); c++)
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                       left + width * (static_cast<double>(c) + 0.5), top - 6, xml_text(columns[c]));
  for (std::size_t r = 0; r < rows.size(); r++)
    svg += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", left - 6,
                       top + height * static_cast<double>(r) + 11, xml_text(rows[r]));
  for (const BitCell& cell : cells) {
    double px = left + width * static_cast<double>(place(columns, cell.column)),
           py = top + height * static_cast<double>(place(rows, cell.row));
    svg += fmt::format(
        "<g><title>{}</title><rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{}\" height=\"{}\" fill=\"{}\"/><text "
        "x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\" "
        "fill=\"{}\">{:.2f}</text></g>\n",
        xml_text(cell.title), px, py, width - 1, height - 1, shade(cell.bits), px + width / 2, py + 11,
        darkness(cell.bits) > 0.55 ? "#fff" : "#222", cell.bits);
  }
  return svg + "</svg>\n";
}

}  // namespace bitkerf
