#include "integer/prepare/encoder_blocks.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "integer/prepare/tables.h"
#include "models/decoder.h"
#include "models/file_source.h"

namespace bitkerf {
namespace {

constexpr int kMostCode[] = {0, 0, 0, 0, 7, 0, 0, 0, 127};  // by bits

// The least power of two with which the values' codes go to `most`; of zeros the least there is.
int exponent_of(std::span<const float> values, int most) {
  double largest = 0;
  for (float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  if (largest == 0) return -127;
  int exponent = static_cast<int>(std::ceil(std::log2(largest / most)));
  while (std::ldexp(most, exponent) < largest) exponent++;
  while (std::ldexp(most, exponent - 1) >= largest) exponent--;
  return std::clamp(exponent, -127, 127);
}

// set_exponent(block, e), set_code(col, code)
template <class SetExponent, class SetCode>
void code_row(std::span<const float> values, int bits, SetExponent&& set_exponent, SetCode&& set_code) {
  const int most = kMostCode[bits];
  for (std::size_t first = 0; first < values.size(); first += kBlock) {
    const std::span<const float> block = values.subspan(first, std::min<std::size_t>(kBlock, values.size() - first));
    const int exponent = exponent_of(block, most);
    set_exponent(static_cast<i64>(first) / kBlock, static_cast<std::int8_t>(exponent));
    for (std::size_t i = 0; i < block.size(); i++)
      set_code(static_cast<i64>(first + i), std::clamp(static_cast<int>(std::nearbyint(std::ldexp(block[i], -exponent))), -most, most));
  }
}

class Reader {
 public:
  Reader(const ModelFile& file, Threads& threads) : file_(file), source_(file, "dense", threads, {}), threads_(threads) {}

  OwnedMatrix<float> floats(const std::string& name, Shape shape) {
    std::unique_ptr<Linear> linear = source_.linear(name, shape, {});
    OwnedMatrix<float> m(shape.rows, shape.cols);
    threads_.split(shape.rows, [&](i64 first, i64 last) { linear->expand(first, m.view().sub_rows(first, last - first)); });
    return m;
  }
  BlockMatrix matrix(const std::string& name, Shape shape) {
    OwnedMatrix<float> m = floats(name, shape);
    return block_matrix(m.view(), fits_four_bits(m.view(), threads_) ? 4 : 8, threads_);
  }
  BlockTable table(const std::string& name, Shape shape, int bits) {
    OwnedMatrix<float> m = floats(name, shape);
    return block_table(m.view(), bits > 0 ? bits : fits_four_bits(m.view(), threads_) ? 4 : 8, threads_);
  }
  BlockVector vector(const std::string& name, i64 n) { return block_vector(source_.vector(name, n).span()); }
  BlockNorm norm(const std::string& name, i64 n) { return {vector(name + ".weight", n), vector(name + ".bias", n)}; }
  Shape shape(const std::string& name) const { return source_.shape(name); }
  void finish() const { source_.check_all_used(); }

 private:
  const ModelFile& file_;
  FileSource source_;
  Threads& threads_;
};

}  // namespace

bool fits_four_bits(Matrix<const float> weights, Threads& threads) {
  std::atomic<bool> fits = true;
  threads.split(weights.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last && fits; r++) {
      int exponent = 0;
      const std::span<const float> row = weights.row_span(r);
      code_row(row, 4, [&](i64, int e) { exponent = e; },
               [&](i64 c, int code) { if (std::ldexp(static_cast<float>(code), exponent) != row[static_cast<std::size_t>(c)]) fits = false; });
    }
  });
  return fits;
}

BlockMatrix block_matrix(Matrix<const float> weights, int bits, Threads& threads) {
  BlockMatrix made(weights.rows, weights.cols, bits);
  threads.split(made.panels(), [&](i64 first, i64 last) {  // a panel's codes share bytes
    for (i64 r = first * kIntegerRows; r < std::min(weights.rows, last * kIntegerRows); r++)
      code_row(weights.row_span(r), bits, [&](i64 block, std::int8_t e) { made.exponent(r, block) = e; }, [&](i64 c, int code) { made.set(r, c, code); });
  });
  return made;
}

BlockTable block_table(Matrix<const float> rows, int bits, Threads& threads) {
  BlockTable made(rows.rows, rows.cols, bits);
  threads.split(rows.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      code_row(rows.row_span(r), bits, [&](i64 block, std::int8_t e) { made.exponents[r * (rows.cols / kBlock) + block] = e; },
               [&](i64 c, int code) { made.set(r, c, code); });
  });
  return made;
}

BlockVector block_vector(std::span<const float> values) {
  const auto n = static_cast<i64>(values.size());
  BlockVector made{n, Buffer<std::int8_t>(n), Buffer<std::int8_t>(ceil_div(n, kBlock))};
  code_row(values, 8, [&](i64 block, std::int8_t e) { made.exponents[block] = e; }, [&](i64 c, int code) { made.codes[c] = static_cast<std::int8_t>(code); });
  return made;
}

BlockEncoder make_block_encoder(const ModelFile& file, Threads& threads) {
  const Metadata& metadata = file.metadata();
  const std::string& architecture = metadata.text("general.architecture");
  if (architecture != "bert")
    throw Error(Fault::file, fmt::format("{}: a model of architecture {}; expected bert: --exec int-block is there for encoders", file.path(), architecture),
                "models of language run with --exec float or integer");
  auto integer = [&](std::string_view name, i64 most) { return metadata.integer(key_of(metadata, name), 1, most); };
  BlockEncoder made;
  made.width = integer("embedding_length", 1 << 16);
  made.hidden = integer("feed_forward_length", 1 << 20);
  made.heads = integer("attention.head_count", 1 << 12);
  made.context = integer("context_length", 1 << 20);
  const i64 layers = integer("block_count", 4096), width = made.width, hidden = made.hidden;
  if (width % kBlock != 0 || width % made.heads != 0)
    fail(Fault::file, "{}: {} columns in {} heads; --exec int-block wants a multiple of {} that the heads divide", file.path(), width, made.heads, kBlock);
  const double epsilon = metadata.number(key_of(metadata, "attention.layer_norm_epsilon"), 0, 1) * static_cast<double>(width);
  int exponent = 0;
  made.epsilon = static_cast<i64>(std::ldexp(std::frexp(epsilon, &exponent), 30));
  made.epsilon_exponent = exponent - 30;
  made.root_width = static_cast<i64>(std::nearbyint(std::ldexp(std::sqrt(static_cast<double>(width)), 20)));
  made.score_scale = dyadic(std::numbers::log2e / std::sqrt(static_cast<double>(width / made.heads)));
  made.power_table = power_table();
  made.gate_table = gate_table(normal_distribution);

  Reader read(file, threads);
  made.tokens = read.table("token_embd", {read.shape("token_embd.weight").rows, width}, 0);
  made.positions = read.table("position_embd", {read.shape("position_embd.weight").rows, width}, made.tokens.bits);
  made.types = read.table("token_types", {read.shape("token_types.weight").rows, width}, made.tokens.bits);
  made.context = std::min(made.context, made.positions.rows);
  made.embedding_norm = read.norm("token_embd_norm", width);
  for (i64 i = 0; i < layers; i++) {
    BlockEncoderLayer& l = made.layers.emplace_back();
    const std::string at = fmt::format("blk.{}.", i);
    struct { BlockMatrix* matrix; BlockVector* bias; const char* name; Shape shape; } const parts[] = {
        {&l.q, &l.q_bias, "attn_q", {width, width}}, {&l.k, &l.k_bias, "attn_k", {width, width}}, {&l.v, &l.v_bias, "attn_v", {width, width}},
        {&l.output, &l.output_bias, "attn_output", {width, width}}, {&l.up, &l.up_bias, "ffn_up", {hidden, width}},
        {&l.down, &l.down_bias, "ffn_down", {width, hidden}}};
    for (const auto& part : parts) {
      *part.matrix = read.matrix(at + part.name, part.shape);
      *part.bias = read.vector(at + part.name + ".bias", part.shape.rows);
    }
    l.attention_norm = read.norm(at + "attn_output_norm", width);
    l.last_norm = read.norm(at + "layer_output_norm", width);
  }
  read.finish();
  return made;
}

}  // namespace bitkerf
