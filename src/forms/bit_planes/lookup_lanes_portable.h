#include <cstdint>

namespace bitkerf {
namespace {

struct Lookup {
  static void sums(const std::int8_t* q, std::int32_t offset, std::uint8_t* low, std::uint8_t* high) {
    for (int n = 0; n < 16; n++) {
      std::int32_t sum = offset;
      for (int i = 0; i < 4; i++) sum += (n >> i & 1) * q[i];
      low[n] = static_cast<std::uint8_t>(sum & 255);
      high[n] = static_cast<std::uint8_t>(sum >> 8);
    }
  }
  static Lanes::I add_bytes(Lanes::I sum, Lanes::I bytes) {
    for (int r = 0; r < 16; r++)
      for (int b = 0; b < 4; b++) sum.v[r] += bytes.v[r] >> (8 * b) & 255;
    return sum;
  }
  static void add(Lanes::I words, const std::uint8_t* tables, Lanes::I& low, Lanes::I& high) {
    for (int r = 0; r < 16; r++)
      for (int b = 0; b < 4; b++)
        for (int part = 0; part < 2; part++) {
          const std::uint8_t* entry = tables + 128 * part + 16 * b + (words.v[r] >> (8 * b + 4 * part) & 15);
          low.v[r] += entry[0];
          high.v[r] = static_cast<std::int32_t>(static_cast<std::uint32_t>(high.v[r]) + (static_cast<std::uint32_t>(entry[64]) << (8 * b)));
        }
  }
};

}  // namespace
}  // namespace bitkerf
