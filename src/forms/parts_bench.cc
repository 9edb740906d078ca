// What parts of a matrix cost: outlier columns in 16 bits beside 8-bit ones at 128 tokens (LLM.int8()), scattered rows of 8 bits
// beside 4-bit ones at one token (MixLLM), turning 4-bit inputs first at 128 tokens (FlatQuant), 6-bit weights beside 8-bit ones at
// one token (FlexQ). Times in turns, median of rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>

#include "forms/list.h"
#include "transforms/kronecker.h"

namespace bitkerf {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double median(std::vector<double> v) { return std::sort(v.begin(), v.end()), v[v.size() / 2]; }

Quantized random_codes(const char* name, Shape shape) {
  NumberFormat format = parse_number_format(name);
  Quantized w = Quantized::zeros(format, shape);
  std::mt19937 random(1);
  for (i64 r = 0; r < shape.rows; r++) {
    for (i64 c = 0; c < shape.cols; c++) w.codes(r, c) = static_cast<std::uint16_t>(random() % static_cast<unsigned>(format.grid.levels()));
    for (i64 g = 0; g < w.scales.cols(); g++) w.scales(r, g) = 0.125f;
  }
  return w;
}

// Seconds of `plain` and of `parts`, and the median of their ratios.
void compare(const char* what, const Linear& plain, const Linear& parts, i64 tokens, int rounds, Threads& threads) {
  Shape shape = plain.shape();
  OwnedMatrix<float> x(tokens, shape.cols), y(tokens, shape.rows);
  std::mt19937 random(2);
  for (i64 t = 0; t < tokens; t++)
    for (i64 c = 0; c < shape.cols; c++) x(t, c) = static_cast<float>(random() % 2001) / 1000 - 1;
  Arena arena(std::max(plain.scratch(tokens), parts.scratch(tokens)));
  Context context{threads, arena, chosen_isa()};
  std::vector<double> times[2], ratios;
  for (int round = 0; round < rounds; round++) {
    double seconds[2];
    for (int turn = 0; turn < 2; turn++) {
      const int which = (turn + round) % 2;
      const Linear& linear = which ? parts : plain;
      linear.apply(x.view(), y.view(), context);
      const double start = now();
      linear.apply(x.view(), y.view(), context);
      seconds[which] = now() - start;
    }
    times[0].push_back(seconds[0]), times[1].push_back(seconds[1]), ratios.push_back(seconds[1] / seconds[0]);
  }
  std::printf("%-46s %5ldx%-6ld %4ld %10.1f %10.1f %7.3f %7.3f\n", what, static_cast<long>(shape.rows), static_cast<long>(shape.cols), static_cast<long>(tokens),
              1e6 * median(times[0]), 1e6 * median(times[1]), median(ratios), static_cast<double>(parts.bytes()) / static_cast<double>(plain.bytes()));
}

int run(int rounds, int workers) {
  Threads threads(workers);
  std::printf("%-46s %-12s %4s %10s %10s %7s %7s\n", "parts against plain", "shape", "M", "plain us", "parts us", "ratio", "bytes");
  const FormRow &int_dot = form("int_dot"), &fixed = form("fixed_point");
  for (Shape shape : {Shape{576, 576}, Shape{1536, 576}, Shape{576, 1536}, Shape{4096, 4096}}) {
    std::vector<float> mask(static_cast<std::size_t>(shape.cols), 1.0f), picked;
    for (i64 c = 50; c < shape.cols; c += 100) mask[static_cast<std::size_t>(c)] = 0, picked.push_back(static_cast<float>(c));
    const Encoding& masked = with_parameters(transformed(encoding("int8.row"), &transform("diagonal")), shape.cols, mask);
    const Encoding& some = with_parameters(transformed(encoding("fixed16.row"), &transform("columns")), shape.cols, picked);
    Quantized w = random_codes("int8.f32.row", shape);
    std::unique_ptr<Linear> plain = int_dot.pack(w, encoding("int8.row"), threads);
    std::vector<std::unique_ptr<Linear>> addends;
    addends.push_back(int_dot.pack(w, masked, threads));
    addends.push_back(fixed.pack(random_codes("int16.f32.row", {shape.rows, static_cast<i64>(picked.size())}), some, threads));
    compare("int8.row, 1 % of columns in 16 bits", *plain, *add_columns(std::move(addends)), 128, rounds, threads);
  }
  for (Shape shape : {Shape{576, 576}, Shape{1536, 576}, Shape{4096, 4096}, Shape{11008, 4096}}) {
    std::vector<std::int32_t> order, high;
    for (std::int32_t r = 0; r < shape.rows; r++) (r % 10 == 3 ? high : order).push_back(r);
    const auto low_rows = static_cast<i64>(order.size()), high_rows = static_cast<i64>(high.size());
    order.insert(order.end(), high.begin(), high.end());
    std::unique_ptr<Linear> plain = int_dot.pack(random_codes("int4.f16.g64", shape), encoding("int8.g64"), threads);
    std::vector<std::unique_ptr<Linear>> parts;
    parts.push_back(int_dot.pack(random_codes("int4.f16.g64", {low_rows, shape.cols}), encoding("int8.g64"), threads));
    parts.push_back(int_dot.pack(random_codes("int8.f16.g64", {high_rows, shape.cols}), encoding("int8.g64"), threads));
    compare("int4.g64, 10 % of rows (scattered) in 8 bits", *plain, *stack_rows(std::move(parts), order), 1, rounds, threads);
  }
  // What turning the input costs beside the product that it feeds: q, k and v of SmolLM2, gate and up.
  for (Shape shape : {Shape{960, 576}, Shape{3072, 576}}) {
    const i64 n1 = Kronecker::rows_of(shape.cols), n2 = shape.cols / n1;
    std::vector<float> parameters(static_cast<std::size_t>(shape.cols), 1.0f);
    for (i64 side : {n1, n2})
      for (i64 i = 0; i < side * side; i++) parameters.push_back(i % (side + 1) == 0 ? 1.0f : 0.01f);
    const Encoding& kron = with_parameters(transformed(encoding("int4.row"), &transform("kronecker")), shape.cols, parameters);
    const Encoding& hadamard = transformed(encoding("int4.row"), &transform("hadamard"));
    const Quantized w = random_codes("int4.f32.row", shape);
    std::unique_ptr<Linear> plain = int_dot.pack(w, encoding("int4.row"), threads);
    compare("W4A4, kron in front", *plain, *int_dot.pack(w, kron, threads), 128, rounds, threads);
    compare("W4A4, hadamard in front", *plain, *int_dot.pack(w, hadamard, threads), 128, rounds, threads);
  }
  for (i64 tokens : {1, 4, 8}) {
    const Shape shape{11008, 4096};
    std::unique_ptr<Linear> plain = int_dot.pack(random_codes("int8.f16.g128", shape), encoding("int8.g128"), threads);
    for (const char* form_name : {"int_dot", "bit_planes"}) {
      std::unique_ptr<Linear> six = form(form_name).pack(random_codes("int6.f16.g128", shape), encoding("int6.g128"), threads);
      compare(form_name[0] == 'i' ? "int8.g128 against W6A6, int_dot" : "int8.g128 against W6A6, bit_planes", *plain, *six, tokens, rounds, threads);
    }
  }
  return 0;
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) { return bitkerf::run(argc > 1 ? std::atoi(argv[1]) : 51, argc > 2 ? std::atoi(argv[2]) : 1); }
