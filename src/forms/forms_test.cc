// Every form x stored type x instruction set x odd shape x number of tokens: against sums in double of the weights
// that the form says it stands for, and bit for bit against itself with other numbers of tokens, threads and other
// instruction sets. A new row in forms/list.cc or formats/stored.cc is tested without an edit here.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "forms/list.h"
#include "forms/product_input.h"

namespace bitkerf {
namespace {

// Random blocks whose values are finite and of ordinary size.
std::vector<std::byte> random_blocks(const StoredType& type, i64 blocks, std::mt19937& random) {
  std::vector<std::byte> data(static_cast<std::size_t>(blocks * type.block_bytes));
  std::vector<float> values(static_cast<std::size_t>(type.block));
  for (i64 b = 0; b < blocks; b++) {
    std::byte* block = data.data() + b * type.block_bytes;
    for (int tries = 0;; tries++) {
      for (int i = 0; i < type.block_bytes; i++) block[i] = static_cast<std::byte>(random());
      type.dequantize(block, 1, values.data());
      float top = 0;
      for (float v : values) top = std::isfinite(v) ? std::max(top, std::fabs(v)) : INFINITY;
      if (top < 100 && top > 1e-3) break;
      CHECK_LT(tries, 100000);
    }
  }
  return data;
}

// What the kernel multiplies: x after its encoding.
std::vector<double> encoded(const Encoding& encoding, Isa isa, Matrix<const float> x) {
  std::vector<double> out(static_cast<std::size_t>(x.rows * x.cols));
  decode_input(encoding, isa, x, {out.data(), x.rows, x.cols});
  return out;
}

std::vector<Isa> isas_here() {
  std::vector<Isa> list;
  for (const IsaRow& row : isas())
    if (runs(row.isa)) list.push_back(row.isa);
  return list;
}

OwnedMatrix<float> random_matrix(i64 rows, i64 cols, std::mt19937& random) {
  OwnedMatrix<float> m(rows, cols);
  std::normal_distribution<float> normal;
  for (i64 r = 0; r < rows; r++)
    for (i64 c = 0; c < cols; c++) m(r, c) = normal(random) * (c % 37 == 5 ? 20.0f : 1.0f);  // some outlier columns
  return m;
}

struct Case {
  const FormRow* form;
  const StoredType* type;
};
std::vector<Case> cases() {
  std::vector<Case> list;
  for (const FormRow& form : forms())
    for (const StoredType& type : stored_types())
      if (type.name[0] != 'I' || type.name[1] == 'Q')  // I8 ... I64 are no weights
        if (form.holds_stored && form.holds_stored(type) && type.name != "F64") list.push_back({&form, &type});
  return list;
}

class Forms : public testing::TestWithParam<Case> {};

TEST_P(Forms, ExpandsToWhatTheFileSays) {
  auto [form, type] = GetParam();
  std::mt19937 random(1);
  Threads threads(2);
  i64 cols = std::max(64, 2 * type->block), rows = 37;
  auto data = random_blocks(*type, rows * cols / type->block, random);
  auto linear = form->make({type, data.data(), {rows, cols}}, threads);
  OwnedMatrix<float> want(rows, cols), got(rows, cols);
  type->dequantize(data.data(), rows * cols / type->block, want.view().data);
  linear->expand(0, got.view());
  for (i64 r = 0; r < rows; r++)
    for (i64 c = 0; c < cols; c++) ASSERT_EQ(want(r, c), got(r, c)) << r << ' ' << c;
  linear->expand(33, got.view().sub_rows(0, 2));
  for (i64 c = 0; c < 2 * cols; c++) ASSERT_EQ(want(33 + c / cols, c % cols), got(c / cols, c % cols));
}

TEST_P(Forms, MultipliesAsDoublesDo) {
  auto [form, type] = GetParam();
  std::mt19937 random(2);
  Threads threads(2);
  for (i64 blocks : {1, 3, 9}) {
    i64 cols = round_up<i64>(blocks * std::max(type->block, 32), 32);
    if (blocks == 9 && type->block == 256) cols = 1280;  // across a pass of kPassCols
    if (type->block == 1) cols += blocks == 3 ? 1 : 1024;  // odd, or across a pass
    for (i64 rows : {1, 31, 67}) {
      auto data = random_blocks(*type, rows * cols / type->block, random);
      auto linear = form->make({type, data.data(), {rows, cols}}, threads);
      OwnedMatrix<float> w(rows, cols);
      linear->expand(0, w.view());
      i64 tokens = 9;
      auto x = random_matrix(tokens, cols, random);
      std::map<std::pair<i64, i64>, float> first;
      for (Isa isa : isas_here()) {
        const auto& packed = dynamic_cast<const PackedLinear&>(*linear);
        auto v = encoded(packed.input(), isa, x.view());
        for (i64 at_once : {tokens, i64{1}, i64{4}}) {
          Arena arena(multiply_scratch(std::array<const Linear*, 1>{linear.get()}, tokens));
          Context context{threads, arena, isa};
          OwnedMatrix<float> y(tokens, rows);
          for (i64 t = 0; t < tokens; t += at_once) {
            i64 n = std::min(at_once, tokens - t);
            linear->apply(Matrix<const float>(x.view()).sub_rows(t, n), y.view().sub_rows(t, n), context);
          }
          i64 zeros = 0;
          for (i64 t = 0; t < tokens; t++)
            for (i64 r = 0; r < rows; r++) {
              auto [it, fresh] = first.try_emplace({t, r}, y(t, r));
              // The same bits for any number of tokens at once and on every instruction set.
              ASSERT_EQ(it->second, y(t, r)) << row_of(isa).name << " at once " << at_once << " t " << t << " r " << r;
              zeros += y(t, r) == 0;
              if (!fresh) continue;
              double sum = 0, size = 0, top = 0;
              for (i64 c = 0; c < cols; c++) top = std::max<double>(top, std::fabs(w(r, c)));
              for (i64 c = 0; c < cols; c++) {
                double p = w(r, c) * v[static_cast<std::size_t>(t * cols + c)];
                sum += p;
                // Codes are unsigned with a minimum: both parts of a weight may be twice the largest weight.
                size += std::fabs(p) + 4 * top * std::fabs(v[static_cast<std::size_t>(t * cols + c)]);
              }
              // A chain of at most cols + 4 roundings.
              ASSERT_NEAR(sum, y(t, r), size * static_cast<double>(cols + 4) * 0x1p-24) << row_of(isa).name << ' ' << rows << 'x' << cols;
            }
          ASSERT_LT(zeros * 2, tokens * rows);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Forms, testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(info.param.form->name) + "_" + std::string(info.param.type->name);
});

TEST(Multiply, SharesTheInputAndSplitsWithoutChangingBits) {
  std::mt19937 random(3);
  Threads one(1), three(3);
  i64 cols = 576;
  std::vector<std::unique_ptr<Linear>> linears;
  std::vector<const Linear*> pointers;
  std::vector<std::vector<std::byte>> data;
  for (const char* name : {"Q4_1", "Q8_0", "F32", "Q4_1"}) {
    const StoredType& type = *stored_type(name);
    i64 rows = 65 + 32 * static_cast<i64>(linears.size());
    data.push_back(random_blocks(type, rows * cols / type.block, random));
    linears.push_back(make_linear({&type, data.back().data(), {rows, cols}}, "", one));
    pointers.push_back(linears.back().get());
  }
  for (i64 tokens : {1, 2, 3, 70}) {
    auto x = random_matrix(tokens, cols, random);
    Arena arena(multiply_scratch(pointers, tokens));
    std::vector<OwnedMatrix<float>> a, b;
    for (auto* list : {&a, &b}) {
      std::vector<Product> products;
      for (auto& linear : linears) list->emplace_back(tokens, linear->shape().rows);
      for (std::size_t i = 0; i < linears.size(); i++) products.push_back({linears[i].get(), (*list)[i].view()});
      Context context{list == &a ? one : three, arena, chosen_isa()};
      multiply(products, x.view(), context);
    }
    // Rows that are made one by one, for readers with floats among them and without.
    for (std::size_t first : {0u, 3u}) {
      std::span<const Linear* const> readers = std::span(pointers).subspan(first);
      Arena rows_arena(Arena::bytes_of<std::byte>(ProductInput::scratch(readers, tokens, 3)));
      Context context{three, arena, chosen_isa()};
      ProductInput input(readers, tokens, context, rows_arena.take<std::byte>(ProductInput::scratch(readers, tokens, 3)));
      for (i64 t = tokens - 1; t >= 0; t--) {
        int worker = static_cast<int>(t % 3);
        std::copy_n(x.view().row(t), cols, input.row(worker, t));
        input.done(worker, t);
      }
      std::vector<Product> products;
      std::vector<OwnedMatrix<float>> c;
      for (const Linear* linear : readers) c.emplace_back(tokens, linear->shape().rows);
      for (std::size_t i = 0; i < c.size(); i++) products.push_back({readers[i], c[i].view()});
      multiply(products, input, context);
      for (std::size_t i = 0; i < c.size(); i++)
        EXPECT_EQ(0, std::memcmp(a[first + i].view().data, c[i].view().data, static_cast<std::size_t>(tokens * c[i].cols()) * 4));
    }
    for (std::size_t i = 0; i < a.size(); i++)
      EXPECT_EQ(0, std::memcmp(a[i].view().data, b[i].view().data, static_cast<std::size_t>(tokens * a[i].cols()) * 4));
    EXPECT_EQ(arena.used(), 0);
  }
}

}  // namespace
}  // namespace bitkerf
