// Table look-ups of the codebook form, one byte at a time; after lanes_portable.h.
#include <cstring>

namespace bitkerf {
namespace {

struct Tables {
  using B = Lanes::B;
  using I = Lanes::I;

  // The four bytes of a row as one integer, the first lowest.
  static I ints(B v) {
    I r;
    std::memcpy(r.v, v.v, sizeof r.v);
    return r;
  }

  // table[index] of every byte; indices are below kLevels, 16 to 256; the table is 64-byte aligned.
  template <int kLevels>
  static B look_up(B index, const std::uint8_t* table) {
    for (std::uint8_t& v : index.v) v = table[v];
    return index;
  }

  // code + 16 * row: an index into 16 tables of 16.
  static B with_row(B codes) {
    for (int i = 0; i < 64; i++) codes.v[i] = static_cast<std::uint8_t>(codes.v[i] + i / 4 * 16);
    return codes;
  }

  // Of four codes per row, first and second weights: two steps of four weights, of the first and the last two codes.
  static void interleave(B first, B second, B* out) {
    for (int row = 0; row < 16; row++)
      for (int i = 0; i < 8; i++) out[i / 4].v[4 * row + i % 4] = (i % 2 ? second : first).v[4 * row + i / 2];
  }

  // Codes of 16 rows x 32 columns, pattern bytes then sign bytes, to eight steps of bytes: offset + 4 x weight.
  static void signed_patterns(const std::uint8_t* codes, const std::uint64_t* patterns, std::int32_t offset, B* out) {
    for (int octet = 0; octet < 4; octet++)
      for (int row = 0; row < 16; row++) {
        std::int8_t weights[8];
        std::memcpy(weights, &patterns[codes[16 * octet + row]], 8);
        unsigned signs = codes[64 + 16 * octet + row];
        int shift = signs >> 7 ? offset - 1 : offset + 1;
        signs &= 0x7f;
        signs |= (0x6996u >> ((signs ^ signs >> 4) & 15) << 7) & 0x80;  // their parity, by a table of those of four bits
        for (int i = 0; i < 8; i++)
          out[2 * octet + i / 4].v[4 * row + i % 4] = static_cast<std::uint8_t>((signs >> i & 1 ? -weights[i] : weights[i]) + shift);
      }
  }
};

}  // namespace
}  // namespace bitkerf
