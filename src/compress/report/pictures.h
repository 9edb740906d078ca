// The pictures of a report, as SVG: plain data in, text out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitkerf {

struct PlotPoint {
  double x = 0, y = 0;
  std::string label = {};  // beside the point; may be empty
  std::string title = {};  // shown when pointed at; empty: the label, or the series' name
};
struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
  bool line = false;  // joined; such a series is a <g class="line">, so that a script can find its points
};
struct Plot {
  std::string title, x_title, y_title;
  bool log_x = false, log_y = false;
  bool diagonal = false;  // both axes alike, and the line y = x
  std::vector<PlotSeries> series;
  bool legend_above = false;  // at the top left instead of the bottom left, where points are
};
// Points that cannot be shown (0 on a logarithmic axis, not a number) are left out.
std::string plot_svg(const Plot& plot);

// A cell a matrix: rows are layers, columns the kinds of matrix ("attn_q"); shaded by bits.
struct BitCell {
  std::string row, column;
  double bits = 0;
  std::string title = {};  // shown when pointed at
};
std::string bit_map_svg(const std::string& title, const std::vector<BitCell>& cells);

// As text of XML or of an attribute's value: &, <, > and quotes escaped, bytes that are no text shown as \xNN.
std::string xml_text(std::string_view text);

}  // namespace bitkerf
