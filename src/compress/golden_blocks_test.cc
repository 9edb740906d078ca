// MX and NV blocks, scales and codes, bit for bit as numpy with torch's and ml_dtypes' elements makes them:
// tests/golden/make_number_formats.py.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>

#include "compress/quantizers/round_to_nearest.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> golden_weights() {
  OwnedMatrix<float> w(5, 80);
  const float factors[] = {1, 0x1p-130f, 0x1p100f, 3e-5f, 700};
  for (std::uint64_t i = 0; i < 400; i++) {
    std::uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    float f = static_cast<float>(static_cast<double>(z >> 40) / 0x1p23 - 1);
    auto r = static_cast<i64>(i / 80), c = static_cast<i64>(i % 80);
    w(r, c) = r == 3 && c < 32 ? 0 : f * f * f * factors[r];
  }
  return w;
}

struct Fnv {
  std::uint64_t hash = 0xCBF29CE484222325u;
  void add(std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3u; }
};

TEST(GoldenBlocks, AreThoseOfNumpy) {
  std::ifstream file(BITKERF_SOURCE_DIR "/tests/golden/number_formats.txt");
  int compared = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, name, rule, codes, scales, tensor;
    words >> kind >> name >> rule >> codes >> scales >> tensor;
    if (kind != "block") continue;
    OwnedMatrix<float> w = golden_weights();
    Matrix<const float> rows = w.view();
    // One scale per tensor: what is far smaller would all be zero.
    if (name.starts_with("nv")) rows = Matrix<const float>(w.view().data, 2, 80, 240);
    NumberFormat format = parse_number_format(name);
    Quantized q = round_to_nearest(rows, format, rule == "up" ? scale_rules::largest : scale_rules::ocp);
    Fnv code_hash, scale_hash;
    for (i64 r = 0; r < rows.rows; r++) {
      for (i64 c = 0; c < 80; c++) code_hash.add(static_cast<std::uint8_t>(q.codes(r, c)));
      for (i64 g = 0; g < format.groups(80); g++)
        for (int byte = 0; byte < 4; byte++) scale_hash.add(static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(q.scales(r, g)) >> 8 * byte));
    }
    EXPECT_EQ(scale_hash.hash, std::stoull(scales, nullptr, 16)) << line;
    EXPECT_EQ(code_hash.hash, std::stoull(codes, nullptr, 16)) << line;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(q.tensor_scale), std::stoul(tensor, nullptr, 16)) << line;
    compared++;
  }
  EXPECT_EQ(compared, 12);
}

}  // namespace
}  // namespace bitkerf
