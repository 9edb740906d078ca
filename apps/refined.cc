#include "refined.h"

#include <fmt/format.h>

namespace bitkerf {
namespace {

struct Done {
  double macs, low;  // 4-bit products of high parts; share of the low parts multiplied too
};
Done done(const Refinement& r) {
  const double blocks = static_cast<double>(r.blocks());
  return {blocks * kProductsOfBlock, blocks > 0 ? static_cast<double>(r.refined()) / blocks : 0};
}

}  // namespace

nlohmann::ordered_json products_json(const Refinement& refinement) {
  const Done d = done(refinement);
  return {{"macs_4_bit", d.macs * (1 + d.low)}, {"macs_4_bit_of_all", 2 * d.macs}, {"low_parts", d.low}, {"executed", refinement.executed()}};
}

std::string products_text(const Refinement& refinement) {
  const Done d = done(refinement);
  return fmt::format("products       {:.4g} of 4 bits, {:.2f} % of the low parts: {:.4f} of what 8 bits take\n", d.macs * (1 + d.low), 100 * d.low,
                     refinement.executed());
}

}  // namespace bitkerf
