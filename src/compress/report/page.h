// One HTML file that needs no network: text, pictures, and a slider over the sizes that a model can be fitted into.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "compress/report/contents.h"

namespace bitkerf {

// A plan of the curve.
struct CurvePoint {
  double mib = 0, harm = 0, tokens_per_second = 0;
  std::map<std::string, double> bits;  // by kind of matrix
};
std::vector<CurvePoint> curve_points(const PlanProblem& problem, const std::vector<Plan>& plans);

struct Picture {
  std::string name;  // of its file when it is written alone: "pareto" is pareto.svg
  std::string svg, about;
};

struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // name and value
  std::vector<KindRow> kinds;
  std::vector<Picture> pictures;  // the one named "pareto" follows the slider
  std::vector<CurvePoint> curve;  // of the slider; empty: none
};
std::string report_html(const Report& report);

}  // namespace bitkerf
