// Elements and scales of number formats against torch, ml_dtypes and numpy: tests/golden/make_number_formats.py.
#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "core/float16.h"
#include "formats/number_format.h"

namespace bitkerf {
namespace {

std::vector<std::vector<std::string>> golden_lines() {
  std::ifstream file(BITKERF_SOURCE_DIR "/tests/golden/number_formats.txt");
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    lines.emplace_back();
    for (std::string word; words >> word;) lines.back().push_back(word);
  }
  return lines;
}

std::uint32_t hex(std::string_view text) {
  std::uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

TEST(NumberFormatGolden, EveryCodeDecodes) {
  int formats = 0;
  for (const auto& line : golden_lines()) {
    if (line[0] != "decode") continue;
    formats++;
    Grid grid = parse_number_format(line[1]).grid;
    ASSERT_EQ(grid.levels(), static_cast<int>(line.size()) - 3) << line[1];
    for (int code = 0; code < grid.levels(); code++) {
      const std::string& want = line[static_cast<std::size_t>(code) + 3];
      if (want == "*") {
        EXPECT_TRUE(std::isfinite(grid.value(code)));  // what our files may hold is finite
      } else {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(grid.value(code)), hex(want)) << line[1] << ' ' << code;
      }
    }
  }
  EXPECT_EQ(formats, 15);
}

// The 65,280 finite bfloat16 values: subnormals, ties and signed zeros included.
TEST(NumberFormatGolden, EveryBfloat16Encodes) {
  int compared = 0;
  for (const auto& line : golden_lines()) {
    if (line[0] != "encode") continue;
    Grid grid = parse_number_format(line[1]).grid;
    std::size_t next = 3;
    std::string want;
    for (std::uint32_t bits = 0; bits < 0xff80; bits++) {
      if (bits == 0x7f80) bits = 0x8000;
      if (next < line.size() && hex(line[next].substr(0, 4)) == bits) want = line[next++].substr(5);
      float x = bf16_to_f32(static_cast<std::uint16_t>(bits));
      int code = grid.nearest(x);
      if (want == "*") {  // beyond what the peer has: we clip
        ASSERT_GE(std::fabs(grid.value(code)), 15.5f) << line[1] << ' ' << x;
      } else {
        ASSERT_EQ(code, static_cast<int>(hex(want))) << line[1] << ' ' << x;
        compared++;
      }
    }
    EXPECT_EQ(next, line.size()) << line[1];
  }
  EXPECT_GT(compared, 14 * 65000);
}

TEST(NumberFormatGolden, E8m0RoundsUp) {
  const ScaleType& e8m0 = scale_type("e8m0");
  for (const auto& line : golden_lines()) {
    if (line[0] != "e8m0") continue;
    std::size_t next = 2;
    std::uint32_t want = 0;
    for (std::uint32_t bits = 1; bits < 0x7f80; bits++) {
      if (next < line.size() && hex(line[next].substr(0, 4)) == bits) want = hex(line[next++].substr(5));
      std::byte stored;
      e8m0.store(e8m0.round(bf16_to_f32(static_cast<std::uint16_t>(bits))), &stored);
      ASSERT_EQ(static_cast<std::uint32_t>(stored), want) << bits;
      ASSERT_EQ(e8m0.load(&stored), std::ldexp(1.0f, static_cast<int>(want) - 127));
    }
    EXPECT_EQ(next, line.size());
  }
}

// As weights() of the script: splitmix64, cubed; rows of all sizes.
std::vector<float> golden_row(int row) {
  const float sizes[] = {1, 0x1p-130f, 0x1p100f, 3e-5f, 700};
  std::vector<float> w;
  for (int i = row * 80; i < row * 80 + 80; i++) {
    std::uint64_t z = static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    z ^= z >> 31;
    float f = static_cast<float>(static_cast<double>(z >> 40) / 0x1p23 - 1);
    w.push_back(row == 3 && i % 80 < 32 ? 0 : f * f * f * sizes[row]);
  }
  return w;
}

std::string hash(std::span<const std::byte> bytes) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (std::byte b : bytes) h = (h ^ static_cast<std::uint64_t>(b)) * 0x100000001b3;
  return fmt::format("{:016x}", h);
}

TEST(NumberFormatGolden, MultiplesOfARowsFloat16) {
  int rows = 0;
  for (const auto& line : golden_lines()) {
    if (line[0] != "rows") continue;
    for (; rows < 10; rows++) {
      const bool minima = rows >= 5;  // the second half of the line
      std::vector<float> w = golden_row(rows % 5);
      NumberFormat format = parse_number_format(minima ? "uint4.u8.g1" : "int4.u8.g1");
      Quantized q = Quantized::zeros(format, {1, 80});
      for (i64 g = 0; g < 80; g++) (minima ? q.minima : q.scales)(0, g) = minima ? w[static_cast<std::size_t>(g)] : std::fabs(w[static_cast<std::size_t>(g)]);
      q.round_scales(0);
      const float unit = q.row_scales(0, minima);
      const ScaleType& type = minima ? minimum_type(*format.scale) : *format.scale;
      std::vector<std::byte> codes(80);
      for (i64 g = 0; g < 80; g++) {
        const float value = (minima ? q.minima : q.scales)(0, g);
        std::byte& code = codes[static_cast<std::size_t>(g)];
        type.store(value / unit, &code);
        ASSERT_EQ(unit * type.load(&code), value);
      }
      EXPECT_EQ(fmt::format("{:04x}:{}", f32_to_f16(unit), hash(codes)), line[static_cast<std::size_t>(rows) + 2]) << rows;
    }
  }
  EXPECT_EQ(rows, 10);
}

}  // namespace
}  // namespace bitkerf
