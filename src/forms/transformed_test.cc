// Transformed inputs and matrices of parts: with every encoding the weights are those of W, products those of W x, and no
// bit depends on tokens, threads, instruction set, or on which other matrices read the input.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "forms/list.h"
#include "forms/product_input.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> random_matrix(i64 rows, i64 cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> m(rows, cols);
  for (float& v : std::span(m.view().data, static_cast<std::size_t>(rows * cols))) v = normal(random);
  return m;
}

// Codes next to the weights, with scales that keep everything inside.
Quantized nearest(const std::string& name, Matrix<const float> w) {
  NumberFormat format = parse_number_format(name);
  Quantized q = Quantized::zeros(format, {w.rows, w.cols});
  for (i64 r = 0; r < w.rows; r++) {
    for (i64 g = 0; g < format.groups(w.cols); g++) q.scales(r, g) = format.scale->round(6 / format.grid.magnitude());
    for (i64 c = 0; c < w.cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(format.grid.nearest(w(r, c) / q.scales(r, format.group_of(c))));
  }
  return q;
}

std::vector<Isa> isas_here() {
  std::vector<Isa> list;
  for (const IsaRow& row : isas())
    if (runs(row.isa)) list.push_back(row.isa);
  return list;
}

using Linears = std::vector<std::unique_ptr<Linear>>;

// Outputs of all matrices side by side, `at_once` tokens at a time.
OwnedMatrix<float> products(const Linears& linears, Matrix<const float> x, i64 at_once, Threads& threads, Isa isa) {
  std::vector<const Linear*> pointers;
  i64 rows = 0;
  for (const auto& linear : linears) pointers.push_back(linear.get()), rows += linear->shape().rows;
  OwnedMatrix<float> y(x.rows, rows);
  Arena arena(multiply_scratch(pointers, at_once));
  Context context{threads, arena, isa};
  for (i64 t = 0; t < x.rows; t += at_once) {
    i64 n = std::min(at_once, x.rows - t), first = 0;
    std::vector<Product> list;
    for (const auto& linear : linears) {
      list.push_back({linear.get(), y.view().sub_rows(t, n).sub_cols(first, linear->shape().rows)});
      first += linear->shape().rows;
    }
    multiply(list, x.sub_rows(t, n), context);
  }
  EXPECT_EQ(arena.used(), 0);
  return y;
}

// The same through rows that are made one by one.
OwnedMatrix<float> products_of_rows(const Linears& linears, Matrix<const float> x, Threads& threads) {
  std::vector<const Linear*> pointers;
  i64 rows = 0;
  for (const auto& linear : linears) pointers.push_back(linear.get()), rows += linear->shape().rows;
  OwnedMatrix<float> y(x.rows, rows);
  i64 bytes = ProductInput::scratch(pointers, x.rows, threads.count());
  Arena arena(multiply_scratch(pointers, x.rows) + Arena::bytes_of<std::byte>(bytes));
  Context context{threads, arena, chosen_isa()};
  ProductInput input(pointers, x.rows, context, arena.take<std::byte>(bytes));
  for (i64 t = x.rows - 1; t >= 0; t--) {
    int worker = static_cast<int>(t % threads.count());
    std::copy_n(x.row(t), x.cols, input.row(worker, t));
    input.done(worker, t);
  }
  std::vector<Product> list;
  for (i64 first = 0; const auto& linear : linears) {
    list.push_back({linear.get(), y.view().sub_cols(first, linear->shape().rows)});
    first += linear->shape().rows;
  }
  multiply(list, input, context);
  return y;
}

bool same_bits(const OwnedMatrix<float>& a, const OwnedMatrix<float>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.rows() * a.cols()) * sizeof(float)) == 0;
}

void expect_same_everywhere(const Linears& linears, Matrix<const float> x, const OwnedMatrix<float>& want) {
  Threads one(1), three(3);
  for (Isa isa : isas_here())
    for (i64 at_once : {i64{1}, i64{3}, x.rows}) {
      EXPECT_TRUE(same_bits(products(linears, x, at_once, one, isa), want)) << row_of(isa).name << ' ' << at_once;
      EXPECT_TRUE(same_bits(products(linears, x, at_once, three, isa), want)) << row_of(isa).name << ' ' << at_once;
    }
  EXPECT_TRUE(same_bits(products_of_rows(linears, x, one), want));
  EXPECT_TRUE(same_bits(products_of_rows(linears, x, three), want));
}

struct Case {
  const char *form, *format, *input;
};
constexpr Case kCases[] = {
    {"dense", "int16.f32.row", "f32"},        {"bit_planes", "int8.f32.row", "int8.row"}, {"bit_planes", "int4.f32.g64", "int8.g32"},
    {"bit_planes", "bipolar2.f32.row", "bipolar2.row"}, {"int_dot", "int5.f32.g32", "int16.g128"}, {"codebook", "e4m3.f32.row", "f32"},
    {"fixed_point", "int16.f32.row", "fixed15.row"},
};

TEST(Transformed, ProductsAreThoseOfTheOriginalWeights) {
  Threads threads(2);
  for (const TransformRow& row : transforms())
    for (const Case& c : kCases) {
      if (row.has_parameters()) continue;
      SCOPED_TRACE(std::string(row.name) + " " + c.form + " " + c.format + " " + c.input);
      for (i64 cols : {192, 576}) {
        const i64 rows = 37, tokens = 7;
        const Encoding& input = transformed(encoding(c.input), &row);
        EXPECT_EQ(&encoding(input.name), &input);
        OwnedMatrix<float> w = random_matrix(rows, cols, 1), x = random_matrix(tokens, cols, 2), turned = random_matrix(rows, cols, 1);
        for (i64 t = 0; t < tokens; t++) x(t, 5) *= 100;  // what transforms are for
        transform_weights(transform_of(row, cols), turned.view(), threads);
        const FormRow& form = bitkerf::form(c.form);
        ASSERT_TRUE(takes(form, parse_number_format(c.format), input));
        Quantized q = nearest(c.format, turned.view());
        Linears linears;
        linears.push_back(form.pack(q, input, threads));
        const auto& packed = dynamic_cast<const PackedLinear&>(*linears[0]);

        // expand(): what is stored, turned back. A transform keeps lengths, so rounding to codes moves a row by as much.
        OwnedMatrix<float> stored(rows, cols), original(rows, cols);
        packed.expand_stored(0, stored.view());
        packed.expand(0, original.view());
        for (i64 r = 0; r < rows; r++) {
          double moved = 0, rounded = 0, length = 0;
          for (i64 k = 0; k < cols; k++) {
            moved += std::pow(double{original(r, k)} - w(r, k), 2), rounded += std::pow(double{stored(r, k)} - turned(r, k), 2);
            length += double{w(r, k)} * w(r, k);
          }
          ASSERT_NEAR(std::sqrt(moved), std::sqrt(rounded), std::sqrt(length) * 64 * 0x1p-24);
        }
        // Products: what kernels see, as doubles give it; and, the encoding's own rounding apart, W x.
        OwnedMatrix<float> y = products(linears, x.view(), tokens, threads, chosen_isa());
        OwnedMatrix<double> seen(tokens, cols);
        decode_input(input, chosen_isa(), x.view(), seen.view());
        for (i64 t = 0; t < tokens; t++) {
          std::vector<float> tx(static_cast<std::size_t>(cols));
          transform_of(row, cols).input(chosen_isa(), x.view().row(t), tx.data());
          for (i64 r = 0; r < rows; r++) {
            double sum = 0, size = 0, plain = 0, change = 0;
            for (i64 k = 0; k < cols; k++) {
              sum += stored(r, k) * seen(t, k), plain += double{original(r, k)} * x(t, k);
              size += 4 * 6 * std::fabs(seen(t, k)), change += std::fabs(stored(r, k) * (seen(t, k) - tx[static_cast<std::size_t>(k)]));
            }
            const double rounding = size * static_cast<double>(cols + 4) * 0x1p-24;
            ASSERT_NEAR(y(t, r), sum, rounding);
            ASSERT_NEAR(y(t, r), plain, change + 2 * rounding);
          }
        }
        expect_same_everywhere(linears, x.view(), y);
      }
    }
}

TEST(Transformed, MatricesWithAndWithoutShareAnInput) {
  Threads threads(2);
  const i64 cols = 576;
  const TransformRow& row = transforms()[0];
  OwnedMatrix<float> x = random_matrix(5, cols, 3), w = random_matrix(40, cols, 4);
  Linears all;
  OwnedMatrix<float> want(5, 0);
  std::vector<OwnedMatrix<float>> alone;
  for (const auto& [name, transform] : {std::pair{"int8.row", &row}, {"int8.g32", &row}, {"int8.row", static_cast<const TransformRow*>(nullptr)},
                                        {"int8.row", &row}}) {
    Linears single;
    Quantized q = nearest("int6.f32.row", w.view());
    single.push_back(form("int_dot").pack(q, transformed(encoding(name), transform), threads));
    alone.push_back(products(single, x.view(), 5, threads, chosen_isa()));
    all.push_back(std::move(single[0]));
  }
  // And one that takes floats, turned and as they are.
  all.push_back(form("dense").pack(nearest("int6.f32.row", w.view()), transformed(float_input(), &row), threads));
  all.push_back(form("dense").pack(nearest("int6.f32.row", w.view()), float_input(), threads));
  OwnedMatrix<float> together = products(all, x.view(), 5, threads, chosen_isa());
  for (i64 i = 0; i < 4; i++)
    for (i64 t = 0; t < 5; t++)
      EXPECT_EQ(std::memcmp(together.view().row(t) + 40 * i, alone[static_cast<std::size_t>(i)].view().row(t), 160), 0) << i;
  expect_same_everywhere(all, x.view(), together);
}

// A transform with parameters gives, bit for bit, the products of inputs that were transformed before.
TEST(Transformed, ParametersAreThoseOfTheEncoding) {
  Threads threads(2);
  const i64 cols = 576, rows = 70, tokens = 6;
  std::vector<float> factors, picked;
  for (i64 c = 0; c < cols; c++) factors.push_back(c % 11 == 0 ? 0 : 0.3f + static_cast<float>(c % 5));
  for (i64 c = 0; c < cols; c += 11) picked.push_back(static_cast<float>(c));
  OwnedMatrix<float> x = random_matrix(tokens, cols, 7);
  struct Kind {
    const char* name;
    const std::vector<float>& parameters;
  };
  for (const Kind& kind : {Kind{"diagonal", factors}, Kind{"columns", picked}})
    for (const Case& c : kCases) {
      SCOPED_TRACE(std::string(kind.name) + " " + c.form + " " + c.input);
      const TransformRow& row = transform(kind.name);
      const Transform& made = transform_of(row, cols, kind.parameters);
      const i64 seen = made.outputs(cols);
      if (encoding(c.input).group != kRowGroup && seen % 128 != 0 && seen != cols) continue;
      const Encoding& open = transformed(encoding(c.input), &row);
      EXPECT_FALSE(open.fits(cols));
      const Encoding& input = with_parameters(open, cols, kind.parameters);
      EXPECT_EQ(&input, &with_parameters(open, cols, kind.parameters));
      OwnedMatrix<float> w = random_matrix(rows, seen, 8), turned(tokens, seen);
      for (i64 t = 0; t < tokens; t++) {
        std::vector<float> y(static_cast<std::size_t>(cols));
        made.input(chosen_isa(), x.view().row(t), y.data());
        std::copy_n(y.begin(), seen, turned.view().row(t));
      }
      Quantized q = nearest(c.format, w.view());
      Linears linears, plain;
      linears.push_back(form(c.form).pack(q, input, threads));
      plain.push_back(form(c.form).pack(q, encoding(c.input), threads));
      OwnedMatrix<float> want = products(plain, turned.view(), tokens, threads, chosen_isa());
      const auto& packed = dynamic_cast<const PackedLinear&>(*linears[0]);
      EXPECT_EQ(packed.input_cols(), cols);
      EXPECT_TRUE(same_bits(products(linears, x.view(), tokens, threads, chosen_isa()), want));
      OwnedMatrix<float> stored(rows, seen), back(rows, cols);
      packed.expand_stored(0, stored.view());
      packed.expand(0, back.view());
      for (i64 r = 0; r < rows; r++) {
        std::vector<float> original(static_cast<std::size_t>(cols));
        std::copy_n(stored.view().row(r), seen, original.begin());
        made.original(chosen_isa(), original.data(), original.data());
        ASSERT_EQ(std::memcmp(original.data(), back.view().row(r), static_cast<std::size_t>(cols) * 4), 0);
      }
    }
}

TEST(RowParts, AreTheMatrix) {
  Threads threads(2);
  const i64 cols = 192;
  OwnedMatrix<float> x = random_matrix(70, cols, 5), w = random_matrix(200, cols, 6);
  struct Part {
    i64 rows;
    const char *form, *format, *input;
  };
  Linears alone, parts;
  i64 first = 0, bytes = 0;
  for (const Part& p : {Part{1, "bit_planes", "int6.f32.g64", "hadamard/int8.row"}, Part{67, "bit_planes", "int5.f32.row", "hadamard/int8.row"},
                        Part{32, "int_dot", "int3.f32.g64", "int8.g64"}, Part{100, "codebook", "e4m3.f32.row", "f32"}}) {
    Quantized q = nearest(p.format, Matrix<const float>(w.view()).sub_rows(first, p.rows));
    for (Linears* list : {&alone, &parts}) list->push_back(form(p.form).pack(q, encoding(p.input), threads));
    first += p.rows, bytes += alone.back()->bytes();
  }
  Linears whole;
  whole.push_back(stack_rows(std::move(parts)));
  EXPECT_EQ(whole[0]->shape(), (Shape{200, cols}));
  EXPECT_EQ(whole[0]->bytes(), bytes);
  EXPECT_NE(whole[0]->describe().find("rows 68: int_dot"), std::string::npos) << whole[0]->describe();

  OwnedMatrix<float> want = products(alone, x.view(), 70, threads, chosen_isa());
  expect_same_everywhere(whole, x.view(), want);
  OwnedMatrix<float> applied(70, 200);
  Arena arena(whole[0]->scratch(70));
  Context context{threads, arena, chosen_isa()};
  whole[0]->apply(x.view(), applied.view(), context);
  EXPECT_TRUE(same_bits(applied, want));
  // Beside another matrix.
  whole.push_back(stack_rows([&] {
    Linears one;
    one.push_back(form("int_dot").pack(nearest("int3.f32.g64", w.view()), encoding("int8.g64"), threads));
    return one;
  }()));
  expect_same_everywhere(whole, x.view(), products(whole, x.view(), 70, threads, chosen_isa()));

  // Rows of one part, and rows that span three.
  OwnedMatrix<float> rows(200, cols), some(40, cols);
  first = 0;
  for (const auto& part : alone) {
    part->expand(0, rows.view().sub_rows(first, part->shape().rows));
    first += part->shape().rows;
  }
  for (i64 at : {0, 3, 66, 160}) {
    whole[0]->expand(at, some.view());
    EXPECT_EQ(std::memcmp(some.view().data, rows.view().row(at), static_cast<std::size_t>(40 * cols) * 4), 0) << at;
  }
}

// The study form: W T^-1 times T x in floats. Both ways round sums of cols terms.
TEST(Transformed, DenseStudyIsTheMatrix) {
  Threads threads(2);
  const i64 cols = 576, rows = 33;
  OwnedMatrix<float> x = random_matrix(4, cols, 7), w = random_matrix(rows, cols, 8);
  StoredMatrix stored{stored_type("F32"), reinterpret_cast<const std::byte*>(w.view().data), {rows, cols}};
  Linears plain, turned;
  plain.push_back(make_linear(stored, "dense", threads));
  turned.push_back(make_linear(stored, "hadamard/dense", threads));
  OwnedMatrix<float> a = products(plain, x.view(), 4, threads, chosen_isa()), b = products(turned, x.view(), 4, threads, chosen_isa());
  EXPECT_FALSE(same_bits(a, b));
  const double bound = 2 * static_cast<double>(cols) * 0x1p-24 * static_cast<double>(cols);  // |w| |x| = cols
  for (i64 t = 0; t < 4; t++)
    for (i64 r = 0; r < rows; r++) ASSERT_NEAR(a(t, r), b(t, r), bound);
  EXPECT_THROW(make_linear(stored, "hadamar/dense", threads), std::exception);
}

TEST(RowParts, MayBeScattered) {
  Threads threads(2);
  for (i64 rows : {576, 192, 5000}) {
    const i64 cols = 96;
    OwnedMatrix<float> x = random_matrix(9, cols, 11), w = random_matrix(rows, cols, 12);
    std::mt19937 random(static_cast<unsigned>(rows));
    std::vector<std::int32_t> high, low;
    for (i64 r = 0; r < rows; r++) (random() % 10 == 0 ? high : low).push_back(static_cast<std::int32_t>(r));
    std::vector<std::unique_ptr<Linear>> parts;
    std::vector<std::int32_t> order;
    OwnedMatrix<float> want(9, rows);
    for (const auto& [picked, format] : {std::pair{&low, "int4.f32.g32"}, std::pair{&high, "int8.f32.g32"}}) {
      OwnedMatrix<float> own(static_cast<i64>(picked->size()), cols);
      for (std::size_t i = 0; i < picked->size(); i++) std::copy_n(w.view().row((*picked)[i]), cols, own.view().row(static_cast<i64>(i)));
      Linears alone;
      alone.push_back(form("int_dot").pack(nearest(format, own.view()), encoding("int8.g32"), threads));
      OwnedMatrix<float> y = products(alone, x.view(), 9, threads, chosen_isa());
      for (i64 t = 0; t < 9; t++)
        for (std::size_t i = 0; i < picked->size(); i++) want(t, (*picked)[i]) = y(t, static_cast<i64>(i));
      parts.push_back(std::move(alone[0]));
      order.insert(order.end(), picked->begin(), picked->end());
    }
    Linears whole;
    whole.push_back(stack_rows(std::move(parts), order));
    expect_same_everywhere(whole, x.view(), want);
    OwnedMatrix<float> all(rows, cols), some(7, cols);
    whole[0]->expand(0, all.view());
    whole[0]->expand(50, some.view());
    EXPECT_EQ(std::memcmp(all.view().row(50), some.view().data, 7 * cols * sizeof(float)), 0);
    for (i64 r = 0; r < rows; r++)
      for (i64 c = 0; c < cols; c++) ASSERT_NEAR(all(r, c), w(r, c), 0.5);  // half a step of int4
  }
}

// Columns of 16 bits beside others of 8: sums of exact integers, each with its scales; as part of a matrix of rows too.
TEST(ColumnParts, AddUp) {
  Threads threads(2);
  const i64 cols = 192, rows = 77, tokens = 5;
  OwnedMatrix<float> x = random_matrix(tokens, cols, 13), w = random_matrix(rows, cols, 14);
  for (i64 t = 0; t < tokens; t++) x(t, 17) *= 60, x(t, 101) *= 80;
  for (const std::vector<float>& picked : {std::vector<float>{17, 101}, std::vector<float>{0, 1, 2, 191}}) {
    std::vector<float> mask(static_cast<std::size_t>(cols), 1.0f);
    for (float c : picked) mask[static_cast<std::size_t>(c)] = 0;
    OwnedMatrix<float> rest(rows, cols), own(rows, static_cast<i64>(picked.size())), want(tokens, rows);
    for (i64 r = 0; r < rows; r++) {
      for (i64 c = 0; c < cols; c++) rest(r, c) = w(r, c) * mask[static_cast<std::size_t>(c)];
      for (std::size_t i = 0; i < picked.size(); i++) own(r, static_cast<i64>(i)) = w(r, static_cast<i64>(picked[i]));
    }
    const Encoding& masked = with_parameters(transformed(encoding("int8.row"), &transform("diagonal")), cols, mask);
    const Encoding& some = with_parameters(transformed(encoding("fixed16.row"), &transform("columns")), cols, picked);
    Quantized q8 = nearest("int8.f32.row", rest.view()), q16 = nearest("int16.f32.row", own.view());
    Linears main, split;
    main.push_back(form("int_dot").pack(q8, masked, threads));
    split.push_back(form("fixed_point").pack(q16, some, threads));
    OwnedMatrix<float> a = products(main, x.view(), tokens, threads, chosen_isa()), b = products(split, x.view(), tokens, threads, chosen_isa());
    // The part of 8 bits against integers: code sums are exact, then two scales.
    OwnedMatrix<double> seen(tokens, cols);
    decode_input(masked, chosen_isa(), x.view(), seen.view());
    for (i64 t = 0; t < tokens; t++) {
      double top = 0;
      for (i64 c = 0; c < cols; c++) top = std::max(top, std::fabs(double{x(t, c)}) * mask[static_cast<std::size_t>(c)]);
      const float scale = static_cast<float>(top) / 127.0f;
      for (i64 r = 0; r < rows; r++) {
        i64 sum = 0;
        for (i64 c = 0; c < cols; c++) sum += (q8.codes(r, c) - 128) * std::lround(seen(t, c) / scale);
        EXPECT_FLOAT_EQ(a(t, r), static_cast<float>(sum) * scale * q8.scales(r, 0)) << t << ' ' << r;
        want(t, r) = a(t, r) + b(t, r);
      }
    }
    Linears whole;
    main.push_back(std::move(split[0]));
    whole.push_back(add_columns(std::move(main)));
    expect_same_everywhere(whole, x.view(), want);
    OwnedMatrix<float> all(rows, cols);
    whole[0]->expand(0, all.view());
    for (i64 r = 0; r < rows; r++)
      for (i64 c = 0; c < cols; c++) ASSERT_NEAR(all(r, c), w(r, c), 0.03);
  }
}

}  // namespace
}  // namespace bitkerf
