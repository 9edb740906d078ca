// Ways to multiply two floats other than IEEE's, to study what they cost in precision: L-Mul, and products of operands
// that were rounded to a small float first. One row each in product_mode.cc.
#pragma once

#include <span>
#include <string_view>

#include "formats/grid.h"
#include "formats/l_mul.h"

namespace bitkerf {

struct ProductMode {
  std::string_view name;   // "lmul:m=4"
  LMul l_mul;              // mantissa_bits 0: an IEEE product of rounded operands
  SmallFloat operand;      // that they are rounded to (values beyond its range clip)
};
std::span<const ProductMode> product_modes();
// Unknown names answer with the known ones (Fault::usage).
const ProductMode& product_mode(std::string_view name);

// The mode that "lmul:m=4", "linear=lmul:m=4" or "attention=lmul:m=4", given in place of a form, says for `part` ("linear" or
// "attention"); nullptr when it says nothing for it, or is the name of a form.
const ProductMode* studied_products(std::string_view form, std::string_view part);
// Whether it is such a text for any part.
inline bool studies_products(std::string_view form) { return studied_products(form, "linear") || studied_products(form, "attention"); }

// Rounds operands once; products of them are then exact or L-Mul's.
class Operands {
 public:
  explicit Operands(const ProductMode& mode);
  float operator()(float x) const;

 private:
  const ProductMode& mode_;
  Grid grid_;
};

inline float product(const ProductMode& mode, float x, float y) {
  if (mode.l_mul.mantissa_bits == 0) return x * y;
  return l_mul(std::bit_cast<std::uint32_t>(x), std::bit_cast<std::uint32_t>(y), mode.l_mul);
}

}  // namespace bitkerf
