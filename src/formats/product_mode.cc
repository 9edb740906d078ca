#include "formats/product_mode.h"

#include <string>

#include "core/error.h"

namespace bitkerf {
namespace {

constexpr ProductMode kModes[] = {
    {"lmul:m=3", {3, false}, {}},
    {"lmul:m=4", {4, false}, {}},
    {"lmul:m=7", {7, false}, {}},
    {"lmul:m=3:formula", {3, true}, {}},
    {"lmul:m=4:formula", {4, true}, {}},
    {"lmul:m=7:formula", {7, true}, {}},
    {"e4m3", {0, false}, {4, 3, true}},
    {"e5m2", {0, false}, {5, 2, false, true}},
};

}  // namespace

std::span<const ProductMode> product_modes() { return kModes; }

const ProductMode& product_mode(std::string_view name) {
  std::string known;
  for (const ProductMode& mode : kModes) {
    if (mode.name == name) return mode;
    known += (known.empty() ? "" : ", ") + std::string(mode.name);
  }
  fail(Fault::usage, "unknown way to multiply '{}': expected one of {}", name, known);
}

const ProductMode* studied_products(std::string_view form, std::string_view part) {
  for (std::string_view name : {std::string_view("linear"), std::string_view("attention")})
    if (form.starts_with(name) && form.substr(name.size()).starts_with('=')) {
      const ProductMode& mode = product_mode(form.substr(name.size() + 1));
      return name == part ? &mode : nullptr;
    }
  for (const ProductMode& mode : kModes)
    if (mode.name == form) return &mode;
  return nullptr;
}

Operands::Operands(const ProductMode& mode)
    : mode_(mode), grid_(mode.l_mul.mantissa_bits == 0 ? small_float_grid(mode.operand) : Grid::integers(0, 0)) {}

float Operands::operator()(float x) const {
  if (mode_.l_mul.mantissa_bits == 0) return grid_.value(grid_.nearest(x));
  return std::bit_cast<float>(l_mul_operand(x, mode_.l_mul));
}

}  // namespace bitkerf
