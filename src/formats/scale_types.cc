// The table of scale types.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/float16.h"
#include "formats/number_format.h"

namespace bitkerf {
namespace {

template <class T>
void store_as(T value, std::byte* p) { std::memcpy(p, &value, sizeof value); }
template <class T>
T load_as(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Powers of two from 2^-127 to 2^127, rounded up so that no value of the group clips (the OCP text rounds down).
float round_e8m0(float v) noexcept {
  if (!(v > 0x1p-127f)) return 0x1p-127f;
  int exponent = 0;
  float fraction = std::frexp(v, &exponent);  // in [0.5, 1)
  return std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : std::min(exponent, 127));
}

const Grid& e4m3() {
  static const Grid grid = small_float_grid({4, 3, true});
  return grid;
}

constexpr ScaleType kScaleTypes[] = {
    {"f32", 4, [](float v) noexcept { return v; }, [](float v, std::byte* p) noexcept { store_as(v, p); },
     [](const std::byte* p) noexcept { return load_as<float>(p); }, false},
    {"f16", 2, [](float v) noexcept { return f16_to_f32(f32_to_f16(std::min(v, 65504.0f))); },
     [](float v, std::byte* p) noexcept { store_as(f32_to_f16(v), p); },
     [](const std::byte* p) noexcept { return f16_to_f32(load_as<std::uint16_t>(p)); }, false},
    {"bf16", 2, [](float v) noexcept { return bf16_to_f32(f32_to_bf16(v)); },
     [](float v, std::byte* p) noexcept { store_as(f32_to_bf16(v), p); },
     [](const std::byte* p) noexcept { return bf16_to_f32(load_as<std::uint16_t>(p)); }, false},
    {"e8m0", 1, round_e8m0,
     [](float v, std::byte* p) noexcept { store_as(static_cast<std::uint8_t>(std::ilogb(v) + 127), p); },
     [](const std::byte* p) noexcept { return std::ldexp(1.0f, load_as<std::uint8_t>(p) - 127); }, false},
    {"e4m3", 1, [](float v) noexcept { return e4m3().value(e4m3().nearest(v)); },
     [](float v, std::byte* p) noexcept { store_as(static_cast<std::uint8_t>(e4m3().nearest(v)), p); },
     [](const std::byte* p) noexcept { return e4m3().value(load_as<std::uint8_t>(p)); }, true},
    // 256ths, so that the row's float16 is about as large as its largest scale. What is more than 0 does not become 0.
    {"u8", 1, [](float v) noexcept { return v > 0 ? std::clamp(std::nearbyint(v * 256), 1.0f, 255.0f) / 256 : 0; },
     [](float v, std::byte* p) noexcept { store_as(static_cast<std::uint8_t>(v * 256), p); },
     [](const std::byte* p) noexcept { return static_cast<float>(load_as<std::uint8_t>(p)) / 256; }, false, true},
    // 128ths, stored with 128 added. Of minima only.
    {"i8", 1, [](float v) noexcept { return std::clamp(std::nearbyint(v * 128), -127.0f, 127.0f) / 128; },
     [](float v, std::byte* p) noexcept { store_as(static_cast<std::uint8_t>(v * 128 + 128), p); },
     [](const std::byte* p) noexcept { return (static_cast<float>(load_as<std::uint8_t>(p)) - 128) / 128; }, false, true},
};
constexpr std::span kOfScales = std::span(kScaleTypes).first(std::size(kScaleTypes) - 1);

}  // namespace

std::span<const ScaleType> scale_types() { return kOfScales; }

const ScaleType& minimum_type(const ScaleType& scale) { return scale.of_row ? kScaleTypes[kOfScales.size()] : scale.bytes == 1 ? kScaleTypes[0] : scale; }

const ScaleType& scale_type(std::string_view name) {
  std::string known;
  for (const ScaleType& row : kOfScales) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown scale type '{}': expected one of {}", name, known);
}

}  // namespace bitkerf
