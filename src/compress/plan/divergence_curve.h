// What a plan's sum of harms means as a divergence of the whole model: measured at a few plans, interpolated between them.
#pragma once

#include <vector>

namespace bitkerf {

// Harms (compress/plan/candidates.h) are of weights, each matrix by itself. What a file of many of them diverges from its source
// by is more: their errors meet, unseen text is not the calibration's, and two runs whose inputs are rounded to 8 bits part
// company as soon as anything differs, by about the same however little that was. So the two are equal up to a factor for small
// files, and near the source's size most of the divergence is rounding of inputs, which no plan can save.
class DivergenceCurve {
 public:
  struct Point {
    double harm, divergence;
  };
  DivergenceCurve() = default;  // divergence is harm
  // In any order; all above 0. Where more harm was measured to be less divergence, the larger divergence counts for both.
  explicit DivergenceCurve(std::vector<Point> measured);

  // Both grow strictly with their argument, each is the other's inverse, and 0 stays 0. Between two points logarithms are
  // linear; above the last the factor stays; below the first, divergence falls as the fourth root of harm.
  double of(double harm) const;
  double harm(double divergence) const;

  const std::vector<Point>& measured() const { return points_; }

 private:
  std::vector<Point> points_;  // by harm
};

}  // namespace bitkerf
