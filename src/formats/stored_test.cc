#include "formats/stored.h"

#include <cmath>
#include <algorithm>
#include <bit>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>

namespace bitkerf {
namespace {

// A line of tests/golden/stored_types.txt; made by make_stored_types.py from other programs' decoders.
struct Golden {
  std::uint32_t id = 0;
  int block = 0, block_bytes = 0, blocks = 0;
  std::uint64_t digest = 0;
  std::vector<std::uint32_t> first;
};

std::map<std::string, Golden> read_goldens() {
  std::map<std::string, Golden> goldens;
  std::ifstream file(BITKERF_SOURCE_DIR "/tests/golden/stored_types.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    Golden golden;
    words >> name >> golden.id >> golden.block >> golden.block_bytes >> golden.blocks >> std::hex >> golden.digest;
    for (std::uint32_t word; words >> word;) golden.first.push_back(word);
    goldens[name] = golden;
  }
  return goldens;
}

// splitmix64
std::vector<std::byte> random_bytes(std::uint64_t state, std::size_t count) {
  std::vector<std::byte> out;
  while (out.size() < count) {
    state += 0x9E3779B97F4A7C15;
    std::uint64_t z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    z ^= z >> 31;
    for (int i = 0; i < 8; i++) out.push_back(static_cast<std::byte>(z >> 8 * i));
  }
  out.resize(count);
  return out;
}

std::uint32_t word_of(float value) {
  std::uint32_t word = std::bit_cast<std::uint32_t>(value);
  return (word & 0x7f800000) == 0x7f800000 ? 0x7fc00000 : word;
}

TEST(Stored, EveryTypeDecodesToTheBitsOfItsReference) {
  std::map<std::string, Golden> goldens = read_goldens();
  for (const StoredType& type : stored_types()) {
    SCOPED_TRACE(type.name);
    ASSERT_TRUE(goldens.contains(std::string(type.name))) << "no golden for this type";
    const Golden& golden = goldens[std::string(type.name)];
    EXPECT_EQ(type.id, golden.id);
    ASSERT_EQ(type.block, golden.block);
    ASSERT_EQ(type.block_bytes, golden.block_bytes);
    std::vector<std::byte> input = random_bytes(type.id, static_cast<std::size_t>(golden.blocks * type.block_bytes));
    std::vector<float> out(static_cast<std::size_t>(golden.blocks * type.block));
    type.dequantize(input.data(), golden.blocks, out.data());
    for (std::size_t i = 0; i < golden.first.size(); i++) EXPECT_EQ(word_of(out[i]), golden.first[i]) << "weight " << i;
    std::uint64_t digest = 0xCBF29CE484222325;  // FNV-1a
    for (float value : out)
      for (int i = 0; i < 4; i++) digest = (digest ^ (word_of(value) >> 8 * i & 0xff)) * 0x100000001B3;
    EXPECT_EQ(digest, golden.digest);
  }
  for (const auto& [name, golden] : goldens) EXPECT_TRUE(stored_type(name)) << name << " has a golden and no row";
}

TEST(Stored, BlocksDecodeAloneAsInARow) {
  for (const StoredType& type : stored_types()) {
    SCOPED_TRACE(type.name);
    // One byte off the start: blocks lie in files at any address.
    std::vector<std::byte> input = random_bytes(7, static_cast<std::size_t>(5 * type.block_bytes + 1));
    std::vector<float> together(static_cast<std::size_t>(5 * type.block)), alone(static_cast<std::size_t>(type.block));
    type.dequantize(input.data() + 1, 5, together.data());
    for (int b = 0; b < 5; b++) {
      type.dequantize(input.data() + 1 + b * type.block_bytes, 1, alone.data());
      for (int i = 0; i < type.block; i++)
        ASSERT_EQ(word_of(alone[static_cast<std::size_t>(i)]),
                  word_of(together[static_cast<std::size_t>(b * type.block + i)]));
    }
  }
}

TEST(Stored, KnowsWhatIsNotFinite) {
  for (const StoredType& type : stored_types()) {
    SCOPED_TRACE(type.name);
    int finite_blocks = 0, others = 0;
    std::vector<float> weights(static_cast<std::size_t>(type.block));
    for (std::uint32_t seed = 0; seed < 300; seed++) {
      std::vector<std::byte> block = random_bytes(seed, static_cast<std::size_t>(type.block_bytes));
      if (seed % 3 == 0) block.assign(block.size(), std::byte{static_cast<unsigned char>(seed)});
      // Where a half float is Inf or not a number: every place of the block in turn.
      if (seed % 3 == 1) {
        std::size_t at = seed / 3 % block.size();
        block[at] = std::byte{0x7e};
      }
      type.dequantize(block.data(), 1, weights.data());
      bool finite = std::all_of(weights.begin(), weights.end(), [](float w) { return std::isfinite(w); });
      EXPECT_EQ(stored_is_finite(type, block.data(), 1), finite) << "seed " << seed;
      (finite ? finite_blocks : others)++;
    }
    EXPECT_GT(finite_blocks, 0);
    EXPECT_TRUE(type.scales[0] < 0 || others > 0);
  }
}

TEST(Stored, IsFoundByIdAndByName) {
  std::set<std::uint32_t> ids;
  for (const StoredType& type : stored_types()) {
    EXPECT_TRUE(ids.insert(type.id).second);
    EXPECT_EQ(stored_type(type.id), &type);
    EXPECT_EQ(stored_type(type.name), &type);
  }
  ASSERT_TRUE(stored_type("q4_k"));
  EXPECT_EQ(stored_type("q4_k")->name, "Q4_K");
  EXPECT_EQ(stored_type("q4_k")->bytes(512), 288);
  EXPECT_EQ(stored_type("Q4"), nullptr);
  EXPECT_EQ(stored_type(std::uint32_t{4}), nullptr);   // Q4_2, removed from the format
  EXPECT_EQ(stored_type(std::uint32_t{0xffffffff}), nullptr);
}

}  // namespace
}  // namespace bitkerf
