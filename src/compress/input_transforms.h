// What a recipe can say in front of the quantizer: how a matrix's input is transformed, and how calibration chooses the
// parameters of the transform. One row each; parameters belong to an input, so all matrices that read it (q, k and v) get the
// same when their recipes say the same.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "transforms/transform.h"

namespace bitkerf {

struct InputTransformTask {
  double argument;
  const InputStatistics& input;
  std::function<std::vector<OwnedMatrix<float>>()> readers;  // every matrix that reads the input; slow, so asked for by who needs it
  std::function<OwnedMatrix<float>()> samples;               // some inputs from calibration text (tokens, cols); slow the first time
  Threads& threads;
};

struct InputTransform {
  std::string_view name, about;
  std::string_view transform;  // a row of transforms()
  // What stands in brackets behind the name, `cross(0.15)`: what it is when left out, and its range; low == high: nothing does.
  double usual = 0, low = 0, high = 0;
  std::vector<float> (*learn)(const InputTransformTask& task) = nullptr;  // the transform's parameters; nullptr: it has none
  // Columns that get factor 0 are not lost but a part of the matrix of their own, of 16 bits (Kinds in quantize_model.cc).
  bool splits_columns = false;
  bool has_argument() const { return high > low; }
};
std::span<const InputTransform> input_transforms();
const InputTransform& input_transform(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

// max |w| of every column over some matrices of one width.
std::vector<float> largest_of_columns(std::span<const OwnedMatrix<float>> matrices);

}  // namespace bitkerf
