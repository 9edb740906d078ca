// Which values a code can stand for. A grid is a value: kernels ask it what they need to know (does it split into
// bits? does it fit a byte shuffle? are its multiples int8?) and never for its name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/view.h"

namespace bitkerf {

// Points of 8 weights as a pattern and signs, see lattice.h: code = pattern | signs << 8 | shift << 15.
struct SignedPatterns {
  // 2 x absolute values, pattern by pattern; the last one is negative in patterns with an odd number of minus signs.
  std::int8_t twice[256][8];
};

class Grid {
 public:
  // first, first + step, ..., last; code 0 is `first`. At most 65,536 levels.
  static Grid integers(int first, int last, int step = 1);
  // Any values, code by code; duplicates are allowed, the lowest code is then the one encoded. Where both +0 and -0
  // occur, negative values that round to zero get the code of -0, as IEEE conversions do.
  static Grid table(std::vector<float> values);
  // A code stands for a point of `dimension` neighbouring weights of a row: values (levels, dimension). `nearest`: of a
  // point, for codebooks with something better than a look at every level.
  using NearestPoint = int (*)(const float* point) noexcept;
  static Grid points(int dimension, std::vector<float> values, NearestPoint nearest = nullptr);

  int levels() const { return affine_ ? (last_ - first_) / step_ + 1 : levels_; }
  int bits() const;  // of a code
  int dimension() const { return dimension_; }  // weights per code
  float value(int code) const { return affine_ ? static_cast<float>(first_ + step_ * code) : tables_->values[static_cast<std::size_t>(code)]; }
  // Weight i, 0 <= i < dimension(), of the point that the code stands for.
  float value(int code, int i) const { return dimension_ == 1 ? value(code) : tables_->values[static_cast<std::size_t>(code * dimension_ + i)]; }
  float lowest() const;     // of all weights of all points
  float highest() const;
  float magnitude() const;  // largest absolute value
  // Where quantizers put a group: its largest weight on reach() (the magnitude, unless a table was learned for another
  // place), or, when rms() > 0 (lattices), its root mean square on rms().
  float reach() const { return reach_ > 0 ? reach_ : magnitude(); }
  float rms() const { return rms_; }
  Grid with_reach(float reach) const;
  Grid with_rms(float rms) const;
  Grid with_patterns(const SignedPatterns& patterns) const;  // which outlive the grid
  // The nearest level; of two equally near the even one (consecutive integers) or the one of the even code (all others:
  // an even mantissa in a small float), which is IEEE's "round half to even". Values outside clip. Of dimension 1.
  int nearest(float value) const;
  // Of any dimension: the code of the point with the smallest sum of squared differences; of several, the lowest code.
  int nearest(const float* point) const;
  // Distinct values, ascending; of a table.
  const std::vector<float>& sorted_values() const { return tables_->sorted; }

  bool is_affine() const { return affine_; }
  int first() const { return first_; }  // of integers()
  int step() const { return step_; }

  // Codes of 16 bits whose parts can be decoded each on its own, by a table of 2 KB; nullptr for all others.
  const SignedPatterns* patterns() const { return patterns_; }
  // At most 16 levels of one weight: one byte shuffle decodes a code.
  bool fits_shuffle() const { return levels() <= 16 && dimension_ == 1; }
  // value = offset + sum of bit * weight, so planes of bits are exact.
  bool splits_into_bits() const { return affine_ && bits() <= 8; }
  // A step such that every value / step is an integer in -128..127: int8 dot products are exact (E2M1: 0.5).
  std::optional<float> int8_step() const;

 private:
  // Square cells over points of two weights, each with the codes that may be nearest to a place in it, so that a search
  // looks at a few instead of all.
  class Cells {
   public:
    explicit Cells(std::span<const float> values);
    int nearest(const float* point) const;  // -1: the point is outside all cells

   private:
    static constexpr int kCells = 48;  // a side
    struct Near {
      int code;
      float x, y;
    };
    float low_ = 0, width_ = 1;
    std::vector<Near> near_;
    int first_[kCells * kCells + 1] = {};
  };
  // Shared by the copies of a grid (every matrix has one, and a lattice's table takes 2 MB); never changed.
  struct Tables {
    std::vector<float> values;       // (levels, dimension)
    std::vector<float> sorted;       // ascending, distinct; of dimension 1
    std::vector<int> sorted_codes;
    int minus_zero = -1;             // code of -0 where +0 has one too
    std::vector<float> by_weight;    // (dimension, levels); of dimension > 1, so that a search is vector code
    float lowest = 0, highest = 0;
    NearestPoint nearest = nullptr;
    std::optional<Cells> cells;
    std::optional<float> int8_step;
  };
  bool affine_ = false;
  int first_ = 0, last_ = 0, step_ = 1, levels_ = 0, dimension_ = 1;
  float reach_ = 0, rms_ = 0;
  const SignedPatterns* patterns_ = nullptr;
  std::shared_ptr<const Tables> tables_;
};

// The levels of a small float of 1 sign, `exponent_bits` and `mantissa_bits` bits, code by code: no infinities or NaN
// (OCP MX, section 5.3) except where `all_ones_is_nan` drops the top code of each sign (E4M3) and `ieee` drops the top
// exponent (E5M2). The bias is 2^(exponent_bits-1) - 1; another one, a real number even (LLM-FP4, section 3.1), only
// multiplies all levels by a power of two, so it is the scale's business (docs/formats.md).
struct SmallFloat {
  int exponent_bits, mantissa_bits;
  bool all_ones_is_nan = false, ieee = false;
};
Grid small_float_grid(const SmallFloat& format);

}  // namespace bitkerf
