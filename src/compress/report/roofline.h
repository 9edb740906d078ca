// The products of a model on the roofline of a machine: operations per byte of weights against operations per second.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compress/plan/cost.h"
#include "compress/report/pictures.h"

namespace bitkerf {

// The products of a step of that many tokens, with predicted seconds.
struct RooflineStep {
  std::string name;  // "decode"
  std::vector<Work> products;
  std::vector<double> seconds;
};

// Equal products are one point. The roof is min(memory read x intensity, int8 rate) by the probe's figures for `threads`; products
// whose weights come from a cache may lie above it.
Plot roofline_plot(const Probe& probe, int threads, std::span<const RooflineStep> steps);

}  // namespace bitkerf
