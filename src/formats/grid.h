// Which values a code can stand for. A grid is a value: kernels ask it what they need to know (does it split into
// bits? does it fit a byte shuffle? are its multiples int8?) and never for its name.
#pragma once

#include <optional>
#include <vector>

#include "core/view.h"

namespace bitkerf {

class Grid {
 public:
  // first, first + step, ..., last; code 0 is `first`. At most 65,536 levels.
  static Grid integers(int first, int last, int step = 1);
  // Any values, code by code; duplicates (+0 and -0) are allowed, the lower code is then the one encoded.
  static Grid table(std::vector<float> values);

  int levels() const { return affine_ ? (last_ - first_) / step_ + 1 : static_cast<int>(values_.size()); }
  int bits() const;  // of a code
  float value(int code) const { return affine_ ? static_cast<float>(first_ + step_ * code) : values_[static_cast<std::size_t>(code)]; }
  float lowest() const;
  float highest() const;
  float magnitude() const;  // largest absolute value
  // The nearest level; of two equally near the one of the even code (integers) or of the even rank (tables), which is
  // "round half to even" for every format that we know. Values outside clip.
  int nearest(float value) const;
  // The first code of the nearest level for values in this order: sorted values and their codes.
  const std::vector<float>& sorted_values() const { return sorted_; }

  bool is_affine() const { return affine_; }
  int first() const { return first_; }  // of integers()
  int step() const { return step_; }

  // At most 16 levels: one byte shuffle decodes a code.
  bool fits_shuffle() const { return levels() <= 16; }
  // value = offset + sum of bit * weight, so planes of bits are exact.
  bool splits_into_bits() const { return affine_ && bits() <= 8; }
  // A step such that every value / step is an integer in -128..127: int8 dot products are exact (E2M1: 0.5).
  std::optional<float> int8_step() const;

 private:
  bool affine_ = false;
  int first_ = 0, last_ = 0, step_ = 1;
  std::vector<float> values_;          // of a table, by code
  std::vector<float> sorted_;          // of a table, ascending, distinct
  std::vector<int> sorted_codes_;
};

// The levels of a small float of 1 sign, `exponent_bits` and `mantissa_bits` bits, code by code: no infinities or NaN
// (OCP MX, section 5.3) except where `all_ones_is_nan` drops the top code of each sign (E4M3) and `ieee` drops the top
// exponent (E5M2). bias: 2^(exponent_bits-1) - 1 as usual, or any real number (LLM-FP4, section 3.1).
struct SmallFloat {
  int exponent_bits, mantissa_bits;
  bool all_ones_is_nan = false, ieee = false;
};
Grid small_float_grid(const SmallFloat& format);

}  // namespace bitkerf
