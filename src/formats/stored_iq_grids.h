// The codebooks of the IQ types. An entry is a point of 8 weights (IQ1, IQ2; 2 bits each) or 4 weights (IQ3; 4 bits
// each, of which 3 are used), the first weight in the lowest bits. The bits index the type's list of magnitudes.
#pragma once

#include <cstdint>

namespace bitkerf {

extern const std::uint16_t kGridIq2Xxs[256];
extern const std::uint16_t kGridIq2Xs[512];
extern const std::uint16_t kGridIq2S[1024];
extern const std::uint16_t kGridIq3Xxs[256];
extern const std::uint16_t kGridIq3S[512];
extern const std::uint16_t kGridIq1[2048];  // IQ1_S and IQ1_M

// What the bits of an entry stand for.
inline constexpr std::int8_t kMagnitudesIq2[4] = {8, 25, 43, 0};  // 3 does not occur
inline constexpr std::int8_t kMagnitudesIq3Xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::int8_t kMagnitudesIq3S[8] = {1, 3, 5, 7, 9, 11, 13, 15};
inline constexpr std::int8_t kValuesIq1[4] = {-1, 0, 1, 0};  // 3 does not occur

}  // namespace bitkerf
