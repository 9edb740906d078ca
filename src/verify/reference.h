// What a product must be, from its definition alone: plain loops in int64, double and, where the documentation fixes the
// order of float operations (encoding.h, int_tile.inl), in float. Nothing here calls what it judges.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/number_format.h"
#include "forms/encoding.h"

namespace bitkerf {

// Activations as integers: x = scale * code.
struct Codes {
  i64 tokens = 0, cols = 0, group = 0;  // group: columns per scale
  std::vector<std::int32_t> code;       // (tokens, cols)
  std::vector<float> scale;             // (tokens, groups)
  i64 groups() const { return ceil_div(cols, group); }
  std::int32_t at(i64 t, i64 c) const { return code[static_cast<std::size_t>(t * cols + c)]; }
  float scale_of(i64 t, i64 c) const { return scale[static_cast<std::size_t>(t * groups() + c / group)]; }
};
// By the rules in encoding.h; nothing when the encoding is none of integers.
std::optional<Codes> encode_by_rule(const Encoding& encoding, Matrix<const float> x);
// Where the memory that the encoding wrote says something else, in words; empty: nowhere. Looks at every part of IntRows.
std::string difference(const Encoding& encoding, const Codes& want, const void* memory);
// Gives every scale the power of two nearest below it, in both: float sums of small integers are then exact.
void round_scales_to_powers(Codes& codes, void* memory);

struct Verdict {
  double want;
  double bound;     // |y - want| may be this large: roundings of the chain of sums, each half an ulp of what is summed
  bool exact;       // every float operation is exact, in any order: y is want
  std::optional<float> ordered;  // y is this, where the order of operations is documented
};

// The products of one matrix with some input. Weights are Quantized's: tensor_scale * scale * level + minimum.
class Judge {
 public:
  // Beside integers, levels are what int8_levels() says; beside floats, they may be wrong by level_rounding.
  Judge(const Quantized& quantized, const Encoding& input, double level_rounding);
  Judge(Matrix<const float> weights, const Encoding& input);
  Verdict operator()(Matrix<const float> x, i64 token, i64 row) const;  // floats
  Verdict operator()(const Codes& codes, i64 token, i64 row) const;     // integers
  // False: weights are no integers times a scale here (or their groups no spans), so that only a bound is known.
  bool has_order() const { return has_order_; }

 private:
  std::size_t at(i64 r, i64 c) const { return static_cast<std::size_t>(r * shape_.cols + c); }
  Shape shape_;
  const Encoding* input_;
  NumberFormat format_{};
  i64 groups_;
  double level_rounding_ = 0;
  bool has_order_ = false, has_sum_ = false;  // has_sum: weights have a part that is the same in a whole group
  std::vector<double> weight_, parts_;   // (rows, cols): exact weight; sum of the sizes of its parts
  std::vector<double> scale_;            // (rows, groups): of levels
  std::vector<std::int32_t> level_;      // (rows, cols)
  std::vector<float> d_, m_;             // (rows, groups): weight = d * level + m
  std::vector<double> granule_, float_granule_;  // (rows): all its d and m, and all its weights, are multiples of this
};

}  // namespace bitkerf
