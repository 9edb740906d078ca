// Every form that packs codes x number format x instruction set x odd shape: the weights that it stands for are the
// format's, products are what doubles give for them, and no bit depends on the instruction set, the number of tokens
// or of threads, or on which of a matrix's kernels is asked. New rows in forms/list.cc and formats/list.cc are tested
// without an edit here.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include <fmt/format.h>

#include "forms/list.h"

namespace bitkerf {
namespace {

Quantized random_codes(const NumberFormat& format, Shape shape, std::mt19937& random) {
  Quantized q = Quantized::zeros(format, shape);
  if (format.scale->tensor_scale) q.tensor_scale = 0.37f;
  std::uniform_real_distribution<float> uniform(0.01f, 1.0f);
  auto levels = static_cast<unsigned>(format.grid.levels());
  for (i64 r = 0; r < shape.rows; r++) {
    // Some rows are all extremes.
    for (i64 c = 0; c < q.codes.cols(); c++)
      q.codes(r, c) = static_cast<std::uint16_t>(r % 5 == 0 ? (random() % 2 ? levels - 1 : 0) : random() % levels);
    for (i64 level = 0; level < q.tables.cols(); level++) q.tables(r, level) = static_cast<float>(random() % 255) - 127;
    for (i64 g = 0; g < format.groups(shape.cols); g++) {
      if (r % format.group_rows != 0) {  // shared with the row above
        q.scales(r, g) = q.scales(r - 1, g);
        if (format.has_minimum) q.minima(r, g) = q.minima(r - 1, g);
        continue;
      }
      q.scales(r, g) = format.scale->round(uniform(random));
      if (format.has_minimum) q.minima(r, g) = -minimum_type(*format.scale).round(uniform(random));
    }
    if (format.scale->of_row) q.round_scales(r);
  }
  return q;
}

// Each form with each format and its usual encoding of activations; and each encoding with a few formats.
struct Case {
  const FormRow* form;
  std::string format;
  const Encoding* input;
};
std::vector<Case> cases() {
  std::vector<Case> list;
  for (const FormRow& form : forms()) {
    if (!form.pack) continue;
    for (const FormatRow& row : number_formats())
      for (const char* suffix : {"", ".row", ".g16", ".g32.f32", ".g64.bf16", ".g128.e8m0", ".g96.e4m3", ".g24", ".b5x40", ".u8.g32"}) {
        NumberFormat format = parse_number_format(std::string(row.name) + suffix);
        if (form.holds_format(format)) list.push_back({&form, std::string(row.name) + suffix, &usual_input(form, format)});
      }
    const char* suffixes[] = {".row", ".g32", ".g128", ".g16"};
    // Every encoding with a third of the formats, the weights' groups in turn.
    for (std::size_t i = 0; i < encodings().size(); i++)
      for (std::size_t f = i % 3; f < number_formats().size(); f += 3) {
        const Encoding& input = encodings()[i];
        std::string spec = std::string(number_formats()[f].name) + suffixes[(i + f) / 3 % 4];
        NumberFormat format = parse_number_format(spec);
        // Of the many formats that tables decode, a few for each encoding: what follows the table is the same.
        if (form.rounding && (i + f) / 3 % 3 != 0) continue;
        if (form.holds_format(format) && takes(form, format, input) && &input != &usual_input(form, format)) list.push_back({&form, spec, &input});
      }
  }
  return list;
}

std::vector<double> encoded(const Encoding& encoding, Isa isa, Matrix<const float> x) {
  std::vector<double> out(static_cast<std::size_t>(x.rows * x.cols));
  decode_input(encoding, isa, x, {out.data(), x.rows, x.cols});
  return out;
}

OwnedMatrix<float> random_input(i64 rows, i64 cols, std::mt19937& random) {
  OwnedMatrix<float> m(rows, cols);
  std::normal_distribution<float> normal;
  for (i64 r = 0; r < rows; r++)
    for (i64 c = 0; c < cols; c++) m(r, c) = normal(random);
  return m;
}

OwnedMatrix<float> product(const Linear& linear, Matrix<const float> x, i64 at_once, Threads& threads, Isa isa,
                            std::string_view kernel = {}) {
  Arena arena(linear.scratch(x.rows));
  Context context{threads, arena, isa, kernel};
  OwnedMatrix<float> y(x.rows, linear.shape().rows);
  for (i64 t = 0; t < x.rows; t += at_once)
    linear.apply(x.sub_rows(t, std::min(at_once, x.rows - t)), y.view().sub_rows(t, std::min(at_once, x.rows - t)), context);
  return y;
}

class PackedForms : public testing::TestWithParam<Case> {};

TEST_P(PackedForms, MultiplyAsDoublesDo) {
  const auto& [form, spec, input] = GetParam();
  NumberFormat format = parse_number_format(spec);
  std::mt19937 random(4);
  Threads one(1), three(3);
  double level_rounding = form->rounding ? form->rounding(format) : 0;
  bool plain = spec.find('.') == std::string::npos || input == &encoding("int8.row");  // the full list of shapes once per format
  for (i64 cols : plain ? std::vector<i64>{1, 31, 63, 64, 65, 576, 1537} : std::vector<i64>{33, 576}) {
    for (i64 rows : {1, 37}) {
      Quantized q = random_codes(format, {rows, cols}, random);
      auto packed = form->pack(q, *input, three);
      OwnedMatrix<float> w(rows, cols);
      packed->expand(0, w.view());
      for (i64 r = 0; r < rows; r++)
        for (i64 c = 0; c < cols; c++)
          ASSERT_NEAR(w(r, c), q.weight(r, c), std::fabs(q.weight(r, c)) * 0x1p-22 + 255 * q.tensor_scale * 0x1p-23 +
                                                   level_rounding * q.scales(r, format.group_of(c)) * q.tensor_scale) << r << ' ' << c;
      auto x = random_input(8, cols, random);
      OwnedMatrix<float> first;
      for (const IsaRow& isa : isas()) {
        if (!runs(isa.isa)) continue;
        if (first.rows() == 0) {
          first = product(*packed, x.view(), 3, one, isa.isa, packed->kernels(isa.isa).rows[0]->name);
          auto v = encoded(packed->input(), isa.isa, x.view());
          for (i64 t = 0; t < 8; t++)
            for (i64 r = 0; r < rows; r++) {
              double sum = 0, size = 0;
              for (i64 c = 0; c < cols; c++) {
                double xc = v[static_cast<std::size_t>(t * cols + c)];
                sum += w(r, c) * xc;
                // A level and its offset or minimum are each at most 255 scales and round on their own.
                double scale = q.scales(r, format.group_of(c)) * q.tensor_scale;
                size += std::fabs(xc) * (2 * scale * 256 * std::max(1.0f, format.grid.magnitude() / 255) +
                                         (format.has_minimum ? std::fabs(q.minima(r, format.group_of(c))) : 0));
              }
              ASSERT_NEAR(sum, first(t, r), size * static_cast<double>(cols + 4) * 0x1p-24) << t << ' ' << r << " cols " << cols;
            }
        }
        KernelList list = packed->kernels(isa.isa);
        for (const PanelKernels* kernels : list.all()) {
          auto y = product(*packed, x.view(), 8, three, isa.isa, kernels->name);
          auto again = product(*packed, x.view(), 1, one, isa.isa, kernels->name);
          for (i64 t = 0; t < 8; t++)
            for (i64 r = 0; r < rows; r++) {
              ASSERT_EQ(first(t, r), y(t, r)) << isa.name << ' ' << kernels->name << ' ' << t << ' ' << r << " cols " << cols;
              ASSERT_EQ(first(t, r), again(t, r)) << isa.name << ' ' << kernels->name << ' ' << t << ' ' << r << " cols " << cols;
            }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PackedForms, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = std::string(info.param.form->name) + "_" + info.param.format + "_" + info.param.input->name;
  for (char& c : name)
    if (c == '.') c = '_';
  return name;
});

TEST(PackedForms, UnpackIsTheExactInverse) {
  std::mt19937 random(5);
  Threads threads(2);
  std::vector<std::string> names;
  for (const FormatRow& row : number_formats())
    for (const ScaleType& scale : scale_types()) names.push_back(fmt::format("{}.{}", row.name, scale.name));
  for (const FormRow& form : forms())
    for (std::string name : names) {
      NumberFormat format = parse_number_format(name);
      if (!form.unpack || !form.holds_format(format)) continue;
      Quantized q = random_codes(format, {41, 133}, random);
      Quantized back = form.unpack(*form.pack(q, usual_input(form, format), threads));
      for (i64 r = 0; r < 41; r++) {
        for (i64 c = 0; c < q.codes.cols(); c++) ASSERT_EQ(q.codes(r, c), back.codes(r, c)) << form.name << ' ' << name;
        for (i64 i = 0; i < q.row_scales.cols(); i++) ASSERT_EQ(q.row_scales(r, i), back.row_scales(r, i)) << form.name << ' ' << name;
        for (i64 level = 0; level < q.tables.cols(); level++) ASSERT_EQ(q.tables(r, level), back.tables(r, level)) << form.name << ' ' << name;
        for (i64 g = 0; g < format.groups(133); g++) {
          ASSERT_EQ(q.scales(r, g), back.scales(r, g)) << form.name << ' ' << name;
          if (format.has_minimum) {
            ASSERT_EQ(q.minima(r, g), back.minima(r, g)) << form.name << ' ' << name;
          }
        }
      }
    }
}

// The top r planes of a bipolar matrix are the bipolar matrix of r bits whose codes are the top bits: same bits out.
TEST(BitPlanes, TopPlanesAreTheChild) {
  std::mt19937 random(6);
  Threads threads(2);
  for (int bits : {4, 8}) {
    NumberFormat format = parse_number_format("bipolar" + std::to_string(bits) + ".f32.g64");
    Quantized q = random_codes(format, {45, 200}, random);
    const FormRow& planes = form("bit_planes");
    const Encoding& input = int8_input();
    auto parent = planes.pack(q, input, threads);
    for (int r = 1; r < bits; r++) {
      Quantized child = random_codes(parse_number_format("bipolar" + std::to_string(r) + ".f32.g64"), {45, 200}, random);
      for (i64 i = 0; i < 45; i++) {
        for (i64 c = 0; c < 200; c++) child.codes(i, c) = static_cast<std::uint16_t>(q.codes(i, c) >> (bits - r));
        for (i64 g = 0; g < 4; g++) child.scales(i, g) = std::ldexp(q.scales(i, g), bits - r);
      }
      auto separately = planes.pack(child, input, threads);
      auto top = planes.open({format, &input, {45, 200}, 1, parent->packed_bytes()}, r);
      auto x = random_input(7, 200, random);
      for (i64 at_once : {1, 7}) {
        auto a = product(*separately, x.view(), at_once, threads, chosen_isa());
        auto b = product(*top, x.view(), at_once, threads, chosen_isa());
        for (i64 t = 0; t < 7; t++)
          for (i64 i = 0; i < 45; i++) ASSERT_EQ(a(t, i), b(t, i)) << bits << ' ' << r;
      }
    }
  }
}

}  // namespace
}  // namespace bitkerf
