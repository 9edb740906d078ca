#include "forms/list.h"

#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "forms/as_stored/form.h"
#include "forms/bit_planes/form.h"
#include "forms/codebook/form.h"
#include "forms/dense/form.h"
#include "forms/fixed_point/form.h"
#include "forms/fixed_point/words.h"
#include "forms/int_dot/form.h"
#include "forms/product_study/form.h"

namespace bitkerf {
namespace {

bool any_type(const StoredType&) { return true; }
bool any_format(const NumberFormat&) { return true; }
bool any_integers(const NumberFormat&, const Encoding& input) { return input.bits > 0 && !is_fixed_point(input); }

// In order of preference: the first that holds a type or format is taken unless one is forced.
constexpr FormRow kForms[] = {
    {"as_stored", "a file's blocks in panels of 32 rows, multiplied with int8 activations", as_stored_holds,
     make_as_stored, nullptr, nullptr, nullptr, nullptr, nullptr},
    {"bit_planes", "a plane per bit, most significant first, so that any number of top planes can be read", nullptr,
     nullptr, bit_planes_hold, any_integers, pack_bit_planes, open_bit_planes, unpack_bit_planes},
    {"int_dot", "codes of 2 to 8 bits, made small integers by a byte shuffle: any grid of at most 256 levels", nullptr, nullptr,
     int_dot_holds, int_dot_takes, pack_int_dot, open_int_dot, unpack_int_dot, int_dot_rounding},
    {"codebook", "codes of any format, decoded by tables to int8, or to floats where the levels are no small integers", nullptr, nullptr,
     codebook_holds, codebook_takes, pack_codebook, open_codebook, unpack_codebook, codebook_level_rounding},
    {"fixed_point", "16-bit codes with a scale per row, multiplied by such codes with exact sums", nullptr, nullptr, fixed_point_holds,
     fixed_point_takes, pack_fixed_point, open_fixed_point, unpack_fixed_point},
    {"dense_half", "f16 and bf16 as they are, widened to float32 as they are multiplied", dense_half_holds, make_dense_half,
     nullptr, nullptr, nullptr, nullptr, nullptr},
    {"stored_float", "a file's blocks, expanded to floats a tile at a time", any_type, make_stored_float, nullptr,
     nullptr, nullptr, nullptr, nullptr},
    {"dense", "float32; the judge of all others", any_type, make_dense, any_format, nullptr, pack_dense,
     nullptr, nullptr},
    {"dense_bf16", "bf16 times activations rounded to bf16", dense_bf16_holds, make_dense_bf16, nullptr, nullptr, nullptr, nullptr,
     nullptr},
};

}  // namespace

std::span<const FormRow> forms() { return kForms; }

void check_packed(const PackedMatrix& m, std::string_view form, i64 panel_bytes) {
  if (!m.format.open_parameter.empty()) fail(Fault::file, "{} does not say which {}", m.format.name, m.format.open_parameter);
  i64 want = ceil_div(m.shape.rows, kPanelRows) * panel_bytes;
  if (static_cast<i64>(m.bytes.size()) != want)
    fail(Fault::file, "a {}x{} matrix in {} {} has {} bytes, expected {}", m.shape.rows, m.shape.cols, form, m.format.label(), m.bytes.size(), want);
}

bool takes(const FormRow& form, const NumberFormat& format, const Encoding& input) {
  const Encoding& plain = input.plain();  // all that kernels see
  return form.takes ? form.takes(format, plain) : &plain == &float_input();
}

const Encoding& usual_input(const FormRow& form, const NumberFormat& format) {
  if (takes(form, format, float_input())) return float_input();
  if (!takes(form, format, int8_input()))
    for (const Encoding& input : encodings())
      if (takes(form, format, input)) return input;
  i64 group = format.group == kWholeRow || format.group >= 128 ? 128 : format.group >= 64 ? 64 : 32;
  const Encoding& input = encoding(fmt::format("int8.g{}", group));
  CHECK(takes(form, format, input));
  return input;
}

const FormRow& form(std::string_view name) {
  std::string known;
  for (const FormRow& row : kForms) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown form '{}': expected one of {}", name, known);
}

std::unique_ptr<PackedLinear> open_matrix(std::string_view name, const PackedMatrix& matrix, int read_bits) {
  const FormRow& row = form(name);
  const std::string& format = matrix.format.name;
  if (!row.open || !row.holds_format(matrix.format)) fail(Fault::file, "the form {} does not hold {}", name, format);
  if (!takes(row, matrix.format, *matrix.input)) fail(Fault::file, "the form {} does not multiply {} by {}", name, format, matrix.input->name);
  const Encoding& input = *matrix.input;
  if (input.bound ? input.outputs(input.bound_cols) != matrix.shape.cols : !input.fits(matrix.shape.cols))
    fail(Fault::file, "the transform {} does not fit rows of {} weights", input.transform->name, matrix.shape.cols);
  return row.open(matrix, read_bits);
}

const TransformRow* studied_transform(std::string_view form) {
  const std::size_t slash = form.find('/');
  if (slash == form.npos || form.substr(slash) != "/dense") return nullptr;
  const TransformRow& row = transform(form.substr(0, slash));
  if (row.has_parameters()) fail(Fault::usage, "'{}': the transform {} has parameters, which recipes choose", form, row.name);
  return &row;
}

std::unique_ptr<Linear> make_linear(const StoredMatrix& matrix, std::string_view forced, Threads& threads) {
  CHECK_EQ(matrix.shape.cols % matrix.type->block, 0);
  if (const ProductMode* mode = studied_products(forced, "linear")) return make_product_study(matrix, *mode, threads);
  if (const TransformRow* transform = studied_transform(forced)) {
    if (transform->fits(matrix.shape.cols)) return make_dense_of_transformed(matrix, *transform, threads);
    return make_dense(matrix, threads);
  }
  if (!forced.empty() && !studies_products(forced)) {
    const FormRow& row = form(forced);
    // A forced form that cannot hold a type (a small F32 matrix among quantized ones) leaves that one to the table.
    if (row.holds_stored && row.holds_stored(*matrix.type)) return row.make(matrix, threads);
  }
  for (const FormRow& row : kForms)
    if (row.holds_stored && row.holds_stored(*matrix.type)) return row.make(matrix, threads);
  CHECK(false);
}

}  // namespace bitkerf
