// The tables of number formats and scale types.
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

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
};

template <int kBits>
Grid signed_integers() { return Grid::integers(-(1 << (kBits - 1)), (1 << (kBits - 1)) - 1); }
template <int kBits>
Grid unsigned_integers() { return Grid::integers(0, (1 << kBits) - 1); }
template <int kBits>
Grid bipolar() { return Grid::integers(-((1 << kBits) - 1), (1 << kBits) - 1, 2); }
template <int kTop>
Grid symmetric() { return Grid::integers(-kTop, kTop); }
template <int kExponent, int kMantissa>
Grid small() { return small_float_grid({kExponent, kMantissa, kExponent == 4 && kMantissa == 3, kExponent == 5 && kMantissa == 2}); }

// The 16 quantiles of a normal distribution, 0 among them (QLoRA, appendix E).
Grid nf4() {
  return Grid::table({-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
                      -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
                      0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f,
                      0.7229568362236023f, 1.0f});
}

// sign(q) |q / Q|^(1/a): denser near zero for a < 1. a = 0.8 is the best on normal data (NUPES, section 3).
template <int kBits>
Grid power() {
  int top = (1 << (kBits - 1)) - 1;
  std::vector<float> values;
  for (int q = -top; q <= top; q++)
    values.push_back(static_cast<float>(std::copysign(std::pow(std::fabs(static_cast<double>(q)) / top, 1 / 0.8), q)));
  return Grid::table(std::move(values));
}

const FormatRow kFormats[] = {
    {"int1", signed_integers<1>, 64, "f16", false, "{-1, 0}"},
    {"int2", signed_integers<2>, 64, "f16", false, "-2..1"},
    {"int3", signed_integers<3>, 64, "f16", false, "-4..3"},
    {"int4", signed_integers<4>, 64, "f16", false, "-8..7"},
    {"int5", signed_integers<5>, 64, "f16", false, "-16..15"},
    {"int6", signed_integers<6>, 64, "f16", false, "-32..31"},
    {"int7", signed_integers<7>, 64, "f16", false, "-64..63"},
    {"int8", signed_integers<8>, 64, "f16", false, "-128..127"},
    {"uint1", unsigned_integers<1>, 64, "f16", true, "0..1 and a minimum"},
    {"uint2", unsigned_integers<2>, 64, "f16", true, "0..3 and a minimum"},
    {"uint3", unsigned_integers<3>, 64, "f16", true, "0..7 and a minimum"},
    {"uint4", unsigned_integers<4>, 64, "f16", true, "0..15 and a minimum"},
    {"uint5", unsigned_integers<5>, 64, "f16", true, "0..31 and a minimum"},
    {"uint6", unsigned_integers<6>, 64, "f16", true, "0..63 and a minimum"},
    {"uint7", unsigned_integers<7>, 64, "f16", true, "0..127 and a minimum"},
    {"uint8", unsigned_integers<8>, 64, "f16", true, "0..255 and a minimum"},
    {"bipolar1", bipolar<1>, 64, "f16", false, "+-1 (APT-LLM)"},
    {"bipolar2", bipolar<2>, 64, "f16", false, "odd integers, +-3"},
    {"bipolar3", bipolar<3>, 64, "f16", false, "odd integers, +-7"},
    {"bipolar4", bipolar<4>, 64, "f16", false, "odd integers, +-15"},
    {"bipolar5", bipolar<5>, 64, "f16", false, "odd integers, +-31"},
    {"bipolar6", bipolar<6>, 64, "f16", false, "odd integers, +-63"},
    {"bipolar7", bipolar<7>, 64, "f16", false, "odd integers, +-127"},
    {"bipolar8", bipolar<8>, 64, "f16", false, "odd integers, +-255; the top planes are its children"},
    {"ternary", symmetric<1>, 64, "f16", false, "-1, 0, 1 (BitNet b1.58)"},
    {"bal2", symmetric<2>, 64, "f16", false, "five levels, 2.33 bits of information (ABQ-LLM)"},
    {"e4m3", small<4, 3>, 32, "f32", false, "FP8, largest value 448"},
    {"e5m2", small<5, 2>, 32, "f32", false, "FP8, largest value 57344"},
    {"e3m4", small<3, 4>, 32, "f32", false, "FP8"},
    {"e2m5", small<2, 5>, 32, "f32", false, "FP8"},
    {"e3m3", small<3, 3>, 32, "f32", false, "FP7"},
    {"e4m2", small<4, 2>, 32, "f32", false, "FP7"},
    {"e2m4", small<2, 4>, 32, "f32", false, "FP7"},
    {"e3m2", small<3, 2>, 32, "f32", false, "FP6"},
    {"e2m3", small<2, 3>, 32, "f32", false, "FP6"},
    {"e4m1", small<4, 1>, 32, "f32", false, "FP6"},
    {"e2m2", small<2, 2>, 32, "f32", false, "FP5"},
    {"e3m1", small<3, 1>, 32, "f32", false, "FP5"},
    {"e2m1", small<2, 1>, 32, "f32", false, "FP4"},
    {"e1m2", small<1, 2>, 32, "f32", false, "FP4, uniform"},
    {"e3m0", small<3, 0>, 32, "f32", false, "FP4, powers of two"},
    {"mxfp8", small<4, 3>, 32, "e8m0", false, "OCP MX, E4M3"},
    {"mxfp6", small<2, 3>, 32, "e8m0", false, "OCP MX, E2M3"},
    {"mxfp4", small<2, 1>, 32, "e8m0", false, "OCP MX, E2M1"},
    {"mxint8", symmetric<127>, 32, "e8m0", false, "+-127 (INT v.s. FP)"},
    {"mxint4", symmetric<7>, 32, "e8m0", false, "+-7 (INT v.s. FP)"},
    {"nvfp4", small<2, 1>, 16, "e4m3", false, "E2M1, E4M3 scales, one float32 per tensor"},
    {"nvint4", symmetric<7>, 16, "e4m3", false, "+-7, E4M3 scales, one float32 per tensor (INT v.s. FP)"},
    {"nf4", nf4, 64, "f16", false, "normal quantiles (QLoRA)"},
    {"pow3", power<3>, 64, "f16", false, "power 0.8 (NUPES)"},
    {"pow4", power<4>, 64, "f16", false, "power 0.8 (NUPES)"},
    {"pow8", power<8>, 64, "f16", false, "power 0.8 (NUPES)"},
};

template <class Rows>
std::string names(const Rows& rows) {
  std::string list;
  for (const auto& row : rows) list += (list.empty() ? "" : ", ") + std::string(row.name);
  return list;
}

}  // namespace

std::span<const ScaleType> scale_types() { return kScaleTypes; }
std::span<const FormatRow> number_formats() { return kFormats; }

const ScaleType& scale_type(std::string_view name) {
  for (const ScaleType& row : kScaleTypes)
    if (row.name == name) return row;
  fail(Fault::usage, "unknown scale type '{}': expected one of {}", name, names(kScaleTypes));
}

NumberFormat parse_number_format(std::string_view spec) {
  std::string_view rest = spec;
  auto next = [&] {
    std::string_view part = rest.substr(0, rest.find('.'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
  };
  std::string_view name = next();
  const FormatRow* row = nullptr;
  for (const FormatRow& r : kFormats)
    if (r.name == name) row = &r;
  if (!row) fail(Fault::usage, "unknown number format '{}' in '{}': expected one of {}", name, spec, names(kFormats));
  NumberFormat format{"", row->grid(), row->group, &scale_type(row->scale), row->has_minimum};
  while (!rest.empty()) {
    std::string_view part = next();
    i64 group = 0;
    if (part == "row") {
      format.group = kWholeRow;
    } else if (part.size() > 1 && part[0] == 'g' && part[1] >= '0' && part[1] <= '9') {
      auto [end, error] = std::from_chars(part.data() + 1, part.data() + part.size(), group);
      if (error != std::errc() || end != part.data() + part.size() || group < 1 || group > 1 << 20)
        fail(Fault::usage, "'{}' in number format '{}': expected g and a group size from 1 to 1048576", part, spec);
      format.group = group;
    } else {
      format.scale = &scale_type(part);
    }
  }
  format.name = fmt::format("{}.{}.{}", row->name, format.scale->name,
                            format.group == kWholeRow ? "row" : fmt::format("g{}", format.group));
  return format;
}

}  // namespace bitkerf
