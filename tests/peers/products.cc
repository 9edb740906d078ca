// For compare_kernels.py: one product by one form.
//   bitkerf_products FORM FORMAT ENCODING ISA ROWS COLS TOKENS
// Standard input: codes (uint16), scales (float32), minima (float32, if the format has them), x (float32), each row by row.
// Standard output: y (float32), (tokens, rows), of each kernel in turn.
#include <cstdio>
#include <cstdlib>

#include "forms/list.h"

using namespace bitkerf;

static void read(void* to, i64 bytes) {
  if (std::fread(to, 1, static_cast<std::size_t>(bytes), stdin) != static_cast<std::size_t>(bytes)) std::exit(1);
}

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  const FormRow& row = form(argv[1]);
  NumberFormat format = parse_number_format(argv[2]);
  const Encoding& input = encoding(argv[3]);
  setenv("BITKERF_ISA", argv[4], 1);
  i64 rows = std::atoll(argv[5]), cols = std::atoll(argv[6]), tokens = std::atoll(argv[7]);
  if (!row.pack || !row.holds_format(format) || !takes(row, format, input)) return 77;
  Quantized q = Quantized::zeros(format, {rows, cols});
  read(q.codes.view().data, q.codes.rows() * q.codes.cols() * 2);
  read(q.scales.view().data, q.scales.rows() * q.scales.cols() * 4);
  if (format.has_minimum) read(q.minima.view().data, q.minima.rows() * q.minima.cols() * 4);
  OwnedMatrix<float> x(tokens, cols), y(tokens, rows);
  read(x.view().data, tokens * cols * 4);
  Threads threads(2);
  auto linear = row.pack(q, input, threads);
  Arena arena(linear->scratch(tokens));
  KernelList list = linear->kernels(chosen_isa());
  for (const PanelKernels* kernels : list.all()) {
    Context context{threads, arena, chosen_isa(), kernels->name};
    linear->apply(x.view(), y.view(), context);
    std::fwrite(y.view().data, 4, static_cast<std::size_t>(tokens * rows), stdout);
  }
}
