// Activations of 8 bits as two of 4, x = 16 high + low, high from -8 to 7: the high part of every product is multiplied, the
// low part only where it matters (Agile-Quant; prefix planes of activations). What is decided together is a token's 32 columns
// against a panel of 32 rows: low is multiplied if
//
//   scale of x * sqrt(mean low^2) * norm of the 32 x 32 weights > threshold
//
// Threshold 0 gives the bits of the matrix itself, infinity 4-bit activations. A study of what a 4-bit multiplier would
// save: processors with an 8-bit dot product multiply both parts at once in the time of one. Not in the list of forms.
#pragma once

#include <deque>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "forms/packed.h"

namespace bitkerf {

struct RefinedMatrix {
  std::string name;
  double threshold = 0;
  // Done so far: products of a token's 32 columns with 32 rows, and those of them whose low part was multiplied too.
  i64 blocks = 0, refined = 0;
  std::vector<i64> sizes;  // where sizes are counted: blocks by class, see size_of_class()
};

// Thresholds by matrix, and what was done with them.
class Refinement {
 public:
  // "0.05", or lines PATTERN = THRESHOLD (as recipes have them; the last that matches counts).
  // Fault::usage. count_sizes: also how large the left side of the inequality is.
  explicit Refinement(std::string_view text, bool count_sizes = false);
  // nullptr: no pattern matches, so that the matrix stays as it is. Kept until this goes; asked for once per packed part.
  RefinedMatrix* add(std::string_view matrix);
  const std::deque<RefinedMatrix>& matrices() const { return matrices_; }
  void reset();  // counts

  i64 blocks() const;
  i64 refined() const;
  // Of 4-bit products, of all that 8 bits would take: 0.5 to 1.
  double executed() const;

 private:
  std::vector<std::pair<std::string, double>> rules_;
  bool count_sizes_;
  std::deque<RefinedMatrix> matrices_;
};

inline constexpr i64 kProductsOfBlock = 32 * 32;
// Classes are an eighth of an octave wide; sizes in class i are at least size_of_class(i).
inline constexpr std::size_t kSizeClasses = 2048;
float size_of_class(std::size_t i);

// The matrix, refined; as it was where it is not of small integers times 8-bit activations with scales of 32 columns or more.
std::unique_ptr<PackedLinear> make_refined(std::unique_ptr<PackedLinear> matrix, std::string_view name, Refinement& refinement, Threads& threads);

}  // namespace bitkerf
