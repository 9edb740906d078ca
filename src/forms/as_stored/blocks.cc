// The codes of each stored block, one per byte in column order, and where its scale bytes lie. The bit layouts are
// described beside their decoders in formats/stored_*.cc.
#include "forms/as_stored/codec.h"

namespace bitkerf {
namespace {

using u8 = std::uint8_t;

// 32 codes of 4 bits at q: low nibbles are columns 0-15, high nibbles 16-31.
void nibbles(const u8* q, u8* codes) {
  for (int i = 0; i < 16; i++) {
    codes[i] = q[i] & 15;
    codes[i + 16] = q[i] >> 4;
  }
}

template <int kOffset>
void four_bits(const u8* block, u8* codes) noexcept { nibbles(block + kOffset, codes); }

// kOffset: of 4 bytes of fifth bits, which 16 bytes of nibbles follow.
template <int kOffset>
void five_bits(const u8* block, u8* codes) noexcept {
  nibbles(block + kOffset + 4, codes);
  for (int i = 0; i < 32; i++) codes[i] = static_cast<u8>(codes[i] | (block[kOffset + i / 8] >> (i % 8) & 1) << 4);
}

void eight_bits(const u8* block, u8* codes) noexcept {
  for (int i = 0; i < 32; i++) codes[i] = block[2 + i] ^ 0x80;
}

// 256 codes of 2 bits: in each 32 bytes, columns 0-31 in bits 0-1, 32-63 in bits 2-3, ...
void pairs(const u8* q, u8* codes) {
  for (int half = 0; half < 2; half++)
    for (int field = 0; field < 4; field++)
      for (int i = 0; i < 32; i++) codes[half * 128 + field * 32 + i] = q[half * 32 + i] >> (2 * field) & 3;
}

template <int kOffset>
void two_bits(const u8* block, u8* codes) noexcept { pairs(block + kOffset, codes); }

// Bit n of byte i is a bit of column 32 n + i.
void add_bits(const u8* bits, int shift, u8* codes) {
  for (int n = 0; n < 8; n++)
    for (int i = 0; i < 32; i++) codes[32 * n + i] = static_cast<u8>(codes[32 * n + i] | (bits[i] >> n & 1) << shift);
}

void q3_k(const u8* block, u8* codes) noexcept {
  pairs(block + 32, codes);
  add_bits(block, 2, codes);
}

// In each 32 bytes, 32 columns in the low nibbles and the next 32 in the high ones.
void nibbles_of_64(const u8* q, u8* codes) {
  for (int part = 0; part < 4; part++)
    for (int i = 0; i < 32; i++) {
      codes[64 * part + i] = q[32 * part + i] & 15;
      codes[64 * part + 32 + i] = q[32 * part + i] >> 4;
    }
}

void q4_k(const u8* block, u8* codes) noexcept { nibbles_of_64(block + 16, codes); }

void q5_k(const u8* block, u8* codes) noexcept {
  nibbles_of_64(block + 48, codes);
  add_bits(block + 16, 4, codes);
}

void q6_k(const u8* block, u8* codes) noexcept {
  for (int half = 0; half < 2; half++) {
    const u8 *low = block + 64 * half, *high = block + 128 + 32 * half;
    u8* out = codes + 128 * half;
    for (int i = 0; i < 64; i++) {
      out[i] = low[i] & 15;
      out[64 + i] = low[i] >> 4;
    }
    for (int field = 0; field < 4; field++)
      for (int i = 0; i < 32; i++)
        out[32 * field + i] = static_cast<u8>(out[32 * field + i] | (high[i] >> (2 * field) & 3) << 4);
  }
}

void iq4_xs(const u8* block, u8* codes) noexcept {
  for (int part = 0; part < 8; part++) nibbles(block + 8 + 16 * part, codes + 32 * part);
}

constexpr StoredCodec kStored[] = {
    {"Q4_0", 0, four_bits<2>, {{0, 2, 1}}},
    {"Q4_1", 1, four_bits<4>, {{0, 2, 2}}},
    {"Q5_0", 2, five_bits<2>, {{0, 2, 1}}},
    {"Q5_1", 3, five_bits<4>, {{0, 2, 2}}},
    {"Q8_0", 4, eight_bits, {{0, 2, 1}}},
    {"Q2_K", 5, two_bits<16>, {{0, 1, 16}, {80, 2, 2}}},
    {"Q3_K", 6, q3_k, {{96, 1, 12}, {108, 2, 1}}},
    {"Q4_K", 7, q4_k, {{0, 2, 2}, {4, 1, 12}}},
    {"Q5_K", 8, q5_k, {{0, 2, 2}, {4, 1, 12}}},
    {"Q6_K", 9, q6_k, {{192, 1, 16}, {208, 2, 1}}},
    {"IQ4_NL", 10, four_bits<2>, {{0, 2, 1}}},
    {"IQ4_XS", 11, iq4_xs, {{0, 2, 2}, {4, 1, 4}}},
    {"MXFP4", 12, four_bits<1>, {{0, 1, 1}}},
    {"TQ2_0", 13, two_bits<0>, {{64, 2, 1}}},
};

}  // namespace

std::span<const StoredCodec> stored_codecs() { return kStored; }

}  // namespace bitkerf
