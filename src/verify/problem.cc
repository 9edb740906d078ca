#include "verify/problem.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {
namespace {

bool finite_and_ordinary(const StoredType& type, const std::byte* block, std::vector<float>& values) {
  values.resize(static_cast<std::size_t>(type.block));
  type.dequantize(block, 1, values.data());
  float top = 0;
  for (float v : values) top = std::isfinite(v) ? std::max(top, std::fabs(v)) : INFINITY;
  return top < 100 && top > 1e-3f;
}

// Random bytes of a block are often NaN or huge, so few blocks are searched for and drawn from.
Weights stored_weights(const StoredType& type, Shape shape, WeightPattern pattern, std::mt19937& random) {
  Weights w{{}, &type, {}, shape};
  std::vector<std::vector<std::byte>> pool;
  std::vector<float> values;
  while (pool.size() < (pattern == WeightPattern::lowest ? 1u : 24u)) {
    std::vector<std::byte> block(static_cast<std::size_t>(type.block_bytes));
    do {
      for (std::byte& b : block) b = static_cast<std::byte>(random());
    } while (!finite_and_ordinary(type, block.data(), values));
    pool.push_back(block);
  }
  for (i64 i = 0; i < shape.rows * shape.cols / type.block; i++) {
    const auto& block = pool[random() % pool.size()];
    w.blocks.insert(w.blocks.end(), block.begin(), block.end());
  }
  return w;
}

}  // namespace

Weights make_weights(const Subject& subject, Shape shape, WeightPattern pattern, std::mt19937& random) {
  if (subject.stored) return stored_weights(*subject.stored, shape, pattern, random);
  NumberFormat format = parse_number_format(subject.format);
  format.open_parameter = {};
  Quantized q = Quantized::zeros(format, shape);
  const bool powers = pattern == WeightPattern::powers;
  if (format.scale->tensor_scale) q.tensor_scale = powers ? 0.5f : 0.37f;
  std::uniform_real_distribution<float> uniform(0.01f, 1.0f);
  const auto levels = static_cast<unsigned>(format.grid.levels());
  const auto nothing = static_cast<std::uint16_t>(format.grid.dimension() == 1 ? format.grid.nearest(0.0f) : 0);
  for (i64 r = 0; r < shape.rows; r++) {
    for (i64 c = 0; c < q.codes.cols(); c++) {
      bool extreme = pattern == WeightPattern::extreme || r % 5 == 0;
      unsigned code = extreme ? (random() % 2 ? levels - 1 : 0) : random() % levels;
      if (pattern == WeightPattern::lowest) code = 0;
      if (pattern == WeightPattern::one) code = c == (7 * r + 3) % q.codes.cols() ? levels - 1 : nothing;
      q.codes(r, c) = static_cast<std::uint16_t>(code);
    }
    for (i64 level = 0; level < q.tables.cols(); level++) q.tables(r, level) = static_cast<float>(random() % 255) - 127;
    for (i64 g = 0; g < format.groups(shape.cols); g++) {
      if (r % format.group_rows != 0) {  // shared with the row above
        q.scales(r, g) = q.scales(r - 1, g);
        if (format.has_minimum) q.minima(r, g) = q.minima(r - 1, g);
        continue;
      }
      float scale = powers ? std::ldexp(1.0f, static_cast<int>(random() % 3) - 1) : format.scale->round(uniform(random));
      float minimum = -(powers ? static_cast<float>(random() % 5) : minimum_type(*format.scale).round(uniform(random)));
      q.scales(r, g) = scale;
      if (format.has_minimum) q.minima(r, g) = minimum;
    }
    for (i64 i = 0; i < q.row_scales.cols(); i++) q.row_scales(r, i) = 8;  // powers are 256ths of it
    if (format.scale->of_row && !powers) q.round_scales(r);
  }
  return {std::move(q), nullptr, {}, shape};
}

Weights Weights::with_rows_reversed() const {
  Weights out{{}, stored, {}, shape};
  if (!quantized) {
    const auto row = static_cast<i64>(blocks.size()) / shape.rows;
    for (i64 r = shape.rows - 1; r >= 0; r--) out.blocks.insert(out.blocks.end(), blocks.begin() + r * row, blocks.begin() + (r + 1) * row);
    return out;
  }
  const Quantized& q = *quantized;
  Quantized reversed = Quantized::zeros(q.format, shape);
  reversed.tensor_scale = q.tensor_scale;
  for (i64 r = 0; r < shape.rows; r++) {
    const i64 from = shape.rows - 1 - r;
    for (i64 c = 0; c < q.codes.cols(); c++) reversed.codes(r, c) = q.codes(from, c);
    for (i64 i = 0; i < q.row_scales.cols(); i++) reversed.row_scales(r, i) = q.row_scales(from, i);
    for (i64 c = 0; c < q.tables.cols(); c++) reversed.tables(r, c) = q.tables(from, c);
    for (i64 g = 0; g < q.scales.cols(); g++) reversed.scales(r, g) = q.scales(from, g);
    for (i64 g = 0; g < q.minima.cols(); g++) reversed.minima(r, g) = q.minima(from, g);
  }
  out.quantized = std::move(reversed);
  return out;
}

i64 possible_cols(const Subject& subject, i64 cols) {
  if (!subject.stored) return cols;
  // Models' rows are multiples of 32 where their blocks are of fewer weights.
  return round_up<i64>(cols, std::max(subject.stored->block, 32));
}

std::unique_ptr<PackedLinear> pack(const Subject& subject, const Weights& weights, Threads& threads) {
  if (weights.quantized) {
    return subject.pack ? subject.pack(*weights.quantized, *subject.input, threads) : subject.form->pack(*weights.quantized, *subject.input, threads);
  }
  auto linear = subject.form->make({weights.stored, weights.blocks.data(), weights.shape}, threads);
  auto* packed = dynamic_cast<PackedLinear*>(linear.get());
  CHECK(packed != nullptr);
  linear.release();
  return std::unique_ptr<PackedLinear>(packed);
}

OwnedMatrix<float> make_input(const Encoding& encoding, i64 tokens, i64 cols, InputPattern pattern, std::mt19937& random) {
  OwnedMatrix<float> x(tokens, cols);
  std::normal_distribution<float> normal;
  const int largest = encoding.bits == 0 || encoding.bits > 8 ? 63 : (1 << (encoding.bits - 1)) - 1;
  const float top = encoding.bits > 8 ? 32639.0f : static_cast<float>(std::max(largest, 1));
  const int span = encoding.bipolar ? 1 << encoding.bits : largest + 1;
  for (i64 t = 0; t < tokens; t++)
    for (i64 c = 0; c < cols; c++) {
      float v = normal(random), sign = random() % 2 ? 1.0f : -1.0f;
      switch (pattern) {
        case InputPattern::ordinary: break;
        case InputPattern::integers:
          v = sign * (encoding.bits > 0 && c % 32 == 0 ? top : static_cast<float>(random() % static_cast<unsigned>(span)));
          break;
        case InputPattern::zeros: v = 0; break;
        case InputPattern::identity: v = c == t % cols ? 1.0f : 0.0f; break;
        case InputPattern::extremes: v = sign * 3; break;
        case InputPattern::outliers: v *= c % 23 == 7 ? 1e4f : 1.0f; break;
        case InputPattern::subnormal: v *= 1e-40f; break;
        case InputPattern::tiny: v *= encoding.bipolar ? 1e-15f : 1e-32f; break;
        case InputPattern::small: v *= 1e-6f; break;
        case InputPattern::huge: v *= encoding.bipolar ? 1e15f : 1e30f; break;  // bipolar scales are of squares
        case InputPattern::cancelling: v = c % 2 ? -x(t, c - 1) : 100 * v; break;
      }
      // Few bits beside an outlier are all 0.
      if (pattern == InputPattern::ordinary && c % 37 == 5 && (encoding.bits == 0 || encoding.bits > 4)) v *= 20;
      x(t, c) = v;
    }
  return x;
}

std::vector<Verdict> judge_all(const Subject& subject, const Weights& weights, Matrix<const float> x, const Codes* codes) {
  OwnedMatrix<float> floats;
  std::optional<Judge> judge;
  if (weights.quantized) {
    judge.emplace(*weights.quantized, *subject.input, subject.level_rounding);
  } else {
    floats = {weights.shape.rows, weights.shape.cols};
    weights.stored->dequantize(weights.blocks.data(), weights.shape.rows * weights.shape.cols / weights.stored->block, floats.view().data);
    judge.emplace(floats.view(), *subject.input);
  }
  std::vector<Verdict> verdicts;
  verdicts.reserve(static_cast<std::size_t>(x.rows * weights.shape.rows));
  for (i64 t = 0; t < x.rows; t++)
    for (i64 r = 0; r < weights.shape.rows; r++) verdicts.push_back(codes ? (*judge)(*codes, t, r) : (*judge)(x, t, r));
  return verdicts;
}

Problem make_problem(const Subject& subject, Weights weights, OwnedMatrix<float> x, Threads& threads) {
  Problem problem{std::move(weights), nullptr, std::move(x), {}};
  problem.linear = pack(subject, problem.weights, threads);
  std::optional<Codes> codes = encode_by_rule(*subject.input, problem.x.view());
  OwnedMatrix<float> values;  // of an encoding whose rule is not known here: what it says that kernels multiply
  if (!codes && subject.input->bytes(1, problem.x.cols()) > 0) {
    OwnedMatrix<double> decoded(problem.x.rows(), problem.x.cols());
    decode_input(*subject.input, chosen_isa(), problem.x.view(), decoded.view());
    values = {problem.x.rows(), problem.x.cols()};
    for (i64 i = 0; i < values.rows() * values.cols(); i++) values.view().data[i] = static_cast<float>(decoded.view().data[i]);
  }
  problem.verdicts = judge_all(subject, problem.weights, values.rows() > 0 ? values.view() : problem.x.view(), codes ? &*codes : nullptr);
  return problem;
}

}  // namespace bitkerf
