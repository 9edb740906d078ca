// The table of number formats.
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "formats/lattice.h"
#include "formats/number_format.h"

namespace bitkerf {
namespace {

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

// The levels of least squared error for normally distributed weights (Lloyd and Max; HIGGS's grids of one dimension), which is
// what rotations make of weights: 1 % less error than equal steps at 2 bits, 15 % at 3, 20 % at 4, 29 % at 5. In units of the largest
// over 127, so that products are of small integers.
Grid normal2() { return Grid::table({-127, -38, 38, 127}); }
Grid normal3() { return Grid::table({-127, -79, -45, -14, 14, 45, 79, 127}); }
Grid normal4() { return Grid::table({-127, -96, -75, -59, -44, -31, -18, -6, 6, 18, 31, 44, 59, 75, 96, 127}); }
Grid normal5() {
  return Grid::table({-127, -105, -91, -79, -70, -62, -55, -48, -42, -35, -30, -24, -19, -13, -8, -3,
                      3,    8,    13,  19,  24,  30,  35,  42,  48,  55,  62,  70,  79,  91, 105, 127});
}

double read_number(std::string_view text, double low, double high, std::string_view what) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    fail(Fault::usage, "number format: {} is '{}', expected a number from {:g} to {:g}", what, text, low, high);
  return value;
}

// sign(q) |q / Q|^(1/a): denser near zero for a < 1. a = 0.8 is the best on normal data (NUPES, section 3).
Grid power(int bits, double a) {
  int top = (1 << (bits - 1)) - 1;
  std::vector<float> values;
  for (int q = -top; q <= top; q++)
    values.push_back(static_cast<float>(std::copysign(std::pow(std::fabs(static_cast<double>(q)) / top, 1 / a), q)));
  return Grid::table(std::move(values));
}
template <int kBits>
Grid power() { return power(kBits, 0.8); }
template <int kBits>
Grid power_of(std::string_view a) { return power(kBits, read_number(a, 0.1, 4, "the exponent a")); }

// A float of one sign bit and any split of the others: "e2m1".
template <int kBits>
Grid split_of(std::string_view split) {
  if (split.size() == 4 && split[0] == 'e' && split[2] == 'm') {
    int exponent = split[1] - '0', mantissa = split[3] - '0';
    if (exponent >= 1 && exponent <= 5 && mantissa >= 0 && exponent + mantissa == kBits - 1)
      return small_float_grid({exponent, mantissa, exponent == 4 && mantissa == 3, exponent == 5 && mantissa == 2});
  }
  fail(Fault::usage, "number format: the split is '{}', expected eXmY, X from 1 to 5, of {} bits with the sign", split, kBits);
}

// Where the standard normal distribution has reached p.
float normal_quantile(double p) {
  double low = -6, high = 6;
  for (int i = 0; i < 60; i++) {
    double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return static_cast<float>(low);
}

// A codebook's levels are integers of at most 127, so that its products are exact in int8. What stands for one that
// is still to be learned: normal quantiles, in each dimension.
template <int kBits, int kDimension>
Grid codebook() {
  constexpr int kSteps = 1 << (kBits / kDimension);
  std::vector<float> steps, values;
  for (int i = 0; i < kSteps; i++) steps.push_back(std::nearbyint(127 * normal_quantile((i + 0.5) / kSteps) / normal_quantile((kSteps - 0.5) / kSteps)));
  for (int code = 0; code < 1 << kBits; code++)
    for (int i = 0, rest = code; i < kDimension; i++, rest /= kSteps) values.push_back(steps[static_cast<std::size_t>(rest % kSteps)]);
  return Grid::points(kDimension, std::move(values)).with_reach(127);
}

// Two hexadecimal digits per level, two's complement, point after point.
template <int kBits, int kDimension>
Grid codebook_of(std::string_view text) {
  std::size_t count = std::size_t{kDimension} << kBits;
  std::vector<float> values;
  for (std::size_t i = 0; i + 2 <= text.size() && values.size() < count; i += 2) {
    unsigned byte = 0;
    auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (error != std::errc() || end != text.data() + i + 2 || byte == 0x80) break;
    values.push_back(static_cast<float>(static_cast<std::int8_t>(byte)));
  }
  if (values.size() != count || text.size() != 2 * count)
    fail(Fault::usage, "number format: a codebook of {} points of {} needs {} hexadecimal digits, two per value, no 80", 1 << kBits,
         kDimension, 2 * count);
  return Grid::points(kDimension, std::move(values)).with_reach(127);
}

// Points of least squared error for pairs of normally distributed weights (Lloyd's iteration on a grid of 241 x 241 places;
// HIGGS's grids of dimension 2), in units of the largest coordinate over 127. Squared error for a variance of 1: 0.0576, 0.0297,
// 0.0155, 0.0080; of single weights 0.0345 (normal3) and 0.0095 (normal4).
constexpr std::string_view kNormal5d2 =
    "87df8929b0ffb29fb8d3b92cbd63d30dd7e8ddbbdd37f2fcf21cf487f554f8d7047f07b40a320fed110f23cf264c2cfa3024339d48dd496a4d09603566b97bfb";
constexpr std::string_view kNormal6d2 =
    "810d91d59540a1feaa1faca7b1e8baccbb3fbb67bd06c521c8e7d1fbd2b3d510d538d7d1dc8ddd53df24e0e8e6fdebbfeb11ec77ee3bf1d6f5ecf525faa7fa00"
    "fe54001305c2063907db0af10c220e05138919711be71dcd1d141d301d4c1eb021fc30e03023350c37f539c5393c419e41624ce14c21510260c0614272ea7217";
constexpr std::string_view kNormal7d2 =
    "88f989d4891e9744a1b0a308a4eda6d2a722b137b469b6ffb715b9d9b9edbbc1bb4cbf29c19ec50ac8f8c9e3c91cc93cccd1ceb9d159d4edd402d410d42ed9de"
    "d91eda42dbc9dc7bddf6dfa4e213e3b7e304e582e5e9e526e552e6d5e634ecf5edc5ee1bef0def42f0e0f067f201f327f4d1f89df8b4f834f9eafa52fcf9fc16"
    "fd08ffd800c60024024206f0063307e008000a0f0a610da90d1b0ebd0ed00e2a114d117f12e712f7158b1506153a1ada1a151a251ec41eec20fc22ae230b2332"
    "23472360271f2acf2ae12cf22f113002332a353b36bc379938513ae83bd63b1b3ef84009466b472b4cca4d424e1550e351fb54ac6028610a6ccd6cee6c477f12";
constexpr std::string_view kNormal8d2 =
    "881d89fd8ad399e69c2c9eb29e4b9ff99f11a6cfaa05abe6ad1eaf31b0f5b4b9b4dbb411b541b703bacabae9bb28bd1dbef8be53bf9ebf6fc0d9c00cc135c415"
    "c5b9c502c6e4c6efc728c841c9cccbf6cb0dcb1dccdaceffcfe8cf33d106d114d126d2c0d25ed3abd34cd4d0d4f1d5ddd61dd63ed7fad70dd8e6d903d92cdb15"
    "dcc4dc34ddedded7de1cde24dfdfdff4e0b7e0cee0fbe001e007e00ee18ee23de249e3e7e357e515e529e6a6e671e7eee7f6e705e71fe8d7e80de833e9c1e9e0"
    "eacdeafeed17eeeaee22ee3eef06ef0eef2bef4af0b3f0f6f1d7f1e0f2c8f3fef35af41bf535f6e7f6f1f612f7bff708f8cff822f99ff92cf941fbd7fbdffbfd"
    "fc18fc4dfdecfef4fe10fe68ff0701af01c8013c02e4021e0228023204bc04db04fb05ec050306d106150657080c0847098909f4097f0a230be20cc40ceb0dfd"
    "0d1a0d2d0d3b0ed80f0610a3101111b512ce12f112f813e213ea1423153415471555160a16191667170119d7192b1ac11be01be91bf01bf81b111b3e1fcd1f1b"
    "20fe200821b12125213323e623f324d925122549269a265828fd29c229ec2907292b2a1c2a3d2de02df52ed130003024310c3134316e33eb331634b236f73841"
    "385239e039043a1f3a2d3bc43cd43e0c3fec40f94216439c4436462648e048014cf14dce4e1b4e444fb7500b525c552e59e259f85f1b620668cb6b3771ed7911";

template <int kBits>
Grid pairs(std::string_view text, float rms) {
  static const Grid grid = codebook_of<kBits, 2>(text).with_rms(rms);  // its search wants a table that takes a millisecond
  return grid;
}

// Dynamic fixed point: p bits, symmetric.
Grid fixed_point() { return symmetric<32767>(); }
Grid fixed_point_of(std::string_view p) {
  int bits = static_cast<int>(read_number(p, 9, 16, "p"));
  return Grid::integers(-(1 << (bits - 1)) + 1, (1 << (bits - 1)) - 1);
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
    {"normal2", normal2, 64, "f16", false, "best 4 levels for normally distributed weights"},
    {"normal3", normal3, 64, "f16", false, "best 8 levels for normally distributed weights"},
    {"normal4", normal4, 64, "f16", false, "best 16 levels for normally distributed weights"},
    {"normal5", normal5, 64, "f16", false, "best 32 levels for normally distributed weights"},
    {"pow3", power<3>, 64, "f16", false, "power a = 0.8 (NUPES)", "a", "", power_of<3>},
    {"pow4", power<4>, 64, "f16", false, "power a = 0.8, or a=auto: searched for each matrix", "a", "", power_of<4>},
    {"pow8", power<8>, 64, "f16", false, "power a = 0.8", "a", "", power_of<8>},
    {"fp4", small<2, 1>, 32, "f32", false, "the best split of 4 bits for each matrix (LLM-FP4)", "split", "auto", split_of<4>},
    {"fp6", small<2, 3>, 32, "f32", false, "the best split of 6 bits for each matrix", "split", "auto", split_of<6>},
    {"fp8", small<4, 3>, 32, "f32", false, "the best split of 8 bits for each matrix", "split", "auto", split_of<8>},
    {"cb2", codebook<2, 1>, 64, "f16", false, "4 levels by k-means for each matrix", "v", "auto", codebook_of<2, 1>},
    {"cb3", codebook<3, 1>, 64, "f16", false, "8 levels by k-means for each matrix", "v", "auto", codebook_of<3, 1>},
    {"cb4", codebook<4, 1>, 64, "f16", false, "16 levels by k-means for each matrix", "v", "auto", codebook_of<4, 1>},
    {"cb2row", codebook<2, 1>, kWholeRow, "f16", false, "4 levels by k-means for each row", "", "", nullptr, true},
    {"cb3row", codebook<3, 1>, kWholeRow, "f16", false, "8 levels by k-means for each row", "", "", nullptr, true},
    {"cb4row", codebook<4, 1>, kWholeRow, "f16", false, "16 levels by k-means for each row", "", "", nullptr, true},
    {"cb4d2", codebook<4, 2>, 64, "f16", false, "16 points of 2 weights by k-means, 2 bits a weight", "v", "auto", codebook_of<4, 2>},
    {"cb6d2", codebook<6, 2>, 64, "f16", false, "64 points of 2 weights by k-means, 3 bits a weight", "v", "auto", codebook_of<6, 2>},
    {"cb8d2", codebook<8, 2>, 64, "f16", false, "256 points of 2 weights by k-means, 4 bits a weight", "v", "auto", codebook_of<8, 2>},
    {"normal5d2", [] { return pairs<5>(kNormal5d2, 52.52f); }, 64, "f16", false, "best 32 points for pairs of normally distributed weights, 2.5 bits a weight"},
    {"normal6d2", [] { return pairs<6>(kNormal6d2, 45.24f); }, 64, "f16", false, "best 64 points for pairs of normally distributed weights, 3 bits a weight"},
    {"normal7d2", [] { return pairs<7>(kNormal7d2, 40.87f); }, 64, "f16", false, "best 128 points for pairs of normally distributed weights, 3.5 bits a weight"},
    {"normal8d2", [] { return pairs<8>(kNormal8d2, 35.86f); }, 64, "f16", false, "best 256 points for pairs of normally distributed weights, 4 bits a weight"},
    {"e8p2", [] { return e8p_grid(); }, kWholeRow, "f16", false, "65536 points of E8 + 1/4, 8 weights, 2 bits a weight (QuIP#)"},
    {"int16", fixed_point, kWholeRow, "e8m0", false, "dynamic fixed point, +-32767; p=15: +-16383", "p", "", fixed_point_of},
};

}  // namespace

std::span<const FormatRow> number_formats() { return kFormats; }

}  // namespace bitkerf
