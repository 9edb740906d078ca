// What the comparisons with other programs need from the engine and no verb of the command line gives.
//   bitkerf_probe greedy MODEL FORM CACHE N  < prompts, each ended by a NUL byte
//     > a line each: ids of the prompt " : " ids written
//   bitkerf_probe logits MODEL FORM CACHE  < a line of ids per text
//     > float32 logits after every token (binary)
//   bitkerf_probe weights MODEL FOLDER
//     FOLDER/MATRIX: float32 of each packed matrix of a file of ours; > a line each: MATRIX, rows, columns
//   bitkerf_probe codes MODEL FOLDER
//     FOLDER/MATRIX.codes (rows, columns), .scales and .minima (rows, groups): float32 of each packed matrix in one part whose
//     codes are its levels' numbers; > a line each: MATRIX, rows, columns, groups, FORMAT
//   bitkerf_probe kron WIDTH TOKENS BITS < float32 inputs (TOKENS, WIDTH), then weights of all that read them (rows, WIDTH)
//     > float32: factors of columns, P1, P2 as learned for them (compress/learn_kronecker.h)
// FORM "-" is the fastest of each matrix, "integer" execution in integers alone; CACHE is f16 or f32.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>

#include <map>

#include "compress/calibration/calibrate.h"
#include "compress/learn_kronecker.h"
#include "core/error.h"
#include "engine/generate.h"
#include "files/packed_tensors.h"
#include "forms/list.h"
#include "integer/integer_model.h"

namespace bitkerf {
namespace {

EngineOptions options_of(const std::string& form, const std::string& cache) {
  EngineOptions options;
  options.model = {.cache = cache == "f32" ? CacheType::f32 : CacheType::f16, .form = form == "-" || form == "integer" ? "" : form};
  if (form == "integer")
    options.load = [](const ModelFile& file, const ModelOptions& model, Threads& threads, const std::function<void(i64, i64)>& progress) {
      std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file.metadata());
      return load_integer_decoder(file, {model, calibration_windows(*tokenizer, default_calibration(), 8)}, threads, progress);
    };
  return options;
}

void greedy(const std::string& model, const EngineOptions& engine_options, i64 count) {
  Engine engine(model, engine_options);
  const Tokenizer& tokenizer = engine.tokenizer();
  Session session(engine);
  for (std::string prompt; std::getline(std::cin, prompt, '\0');) {
    std::vector<Token> ids = tokenizer.encode(prompt, Specials::as_tokens);
    if (tokenizer.adds_bos() && (ids.empty() || ids[0] != tokenizer.bos())) ids.insert(ids.begin(), tokenizer.bos());
    session.rollback(0);
    GenerateOptions options;
    options.limit = count;
    options.ignore_end = true;
    options.sampler.temperature = 0;
    Generated generated = generate(engine, session, ids, options);
    fmt::print("{} : {}\n", fmt::join(ids, " "), fmt::join(generated.tokens, " "));
  }
}

void logits(const std::string& model, const EngineOptions& options) {
  Engine engine(model, options);
  Session session(engine);
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<Token> ids;
    std::istringstream in(line);
    for (Token id; in >> id;) ids.push_back(id);
    session.rollback(0);
    session.feed_all(
        ids, 0, [&](i64, std::span<const float> row) { std::fwrite(row.data(), sizeof(float), row.size(), stdout); });
  }
}

void weights(const std::string& model, const std::string& folder) {
  std::unique_ptr<ModelFile> file = open_model_file(model);
  std::map<std::string, OwnedMatrix<float>> matrices;
  for (const PackedTensor& entry : read_packed_tensors(file->metadata())) {
    const Tensor* tensor = file->find(entry.tensor);
    CHECK(tensor);
    auto linear = open_matrix(entry.form, {parse_number_format(entry.format), &encoding(entry.input), entry.shape, entry.scale,
                                           {tensor->data, static_cast<std::size_t>(tensor->bytes)}}, 0);
    OwnedMatrix<float>& whole = matrices[entry.matrix.substr(0, entry.matrix.rfind(".weight"))];
    if (whole.rows() == 0) whole = OwnedMatrix<float>(entry.total, entry.shape.cols);
    OwnedMatrix<float> part(entry.shape.rows, entry.shape.cols);
    linear->expand(0, part.view());
    const Tensor* order = entry.scattered.empty() ? nullptr : file->find(entry.scattered);
    for (i64 r = 0; r < entry.shape.rows; r++) {
      std::int32_t row = static_cast<std::int32_t>(r);
      if (order) std::memcpy(&row, order->data + r * 4, 4);
      std::copy_n(part.view().row(r), entry.shape.cols, whole.view().row(entry.first + row));
    }
  }
  for (const auto& [name, matrix] : matrices) {
    std::FILE* out = std::fopen((folder + "/" + name).c_str(), "wb");
    CHECK(out);
    for (i64 r = 0; r < matrix.rows(); r++) std::fwrite(matrix.view().row(r), sizeof(float), static_cast<std::size_t>(matrix.cols()), out);
    std::fclose(out);
    fmt::print("{} {} {}\n", name, matrix.rows(), matrix.cols());
  }
}

void write_floats(const std::string& path, Matrix<const float> m) {
  std::FILE* out = std::fopen(path.c_str(), "wb");
  CHECK(out);
  for (i64 r = 0; r < m.rows; r++) std::fwrite(m.row(r), sizeof(float), static_cast<std::size_t>(m.cols), out);
  std::fclose(out);
}

void codes(const std::string& model, const std::string& folder) {
  std::unique_ptr<ModelFile> file = open_model_file(model);
  for (const PackedTensor& entry : read_packed_tensors(file->metadata())) {
    const Tensor* tensor = file->find(entry.tensor);
    CHECK(tensor && entry.shape.rows == entry.total && form(entry.form).unpack);
    auto linear = open_matrix(entry.form, {parse_number_format(entry.format), &encoding(entry.input), entry.shape, entry.scale,
                                           {tensor->data, static_cast<std::size_t>(tensor->bytes)}}, 0);
    const Quantized q = form(entry.form).unpack(*linear);
    const std::string name = entry.matrix.substr(0, entry.matrix.rfind(".weight"));
    OwnedMatrix<float> levels(q.codes.rows(), q.codes.cols()), scales(q.scales.rows(), q.scales.cols());
    for (i64 r = 0; r < levels.rows(); r++) {
      for (i64 c = 0; c < levels.cols(); c++) levels(r, c) = q.codes(r, c);
      for (i64 g = 0; g < scales.cols(); g++) scales(r, g) = q.scales(r, g) * q.tensor_scale;
    }
    write_floats(folder + "/" + name + ".codes", levels.view());
    write_floats(folder + "/" + name + ".scales", scales.view());
    write_floats(folder + "/" + name + ".minima", q.minima.view());
    fmt::print("{} {} {} {} {}\n", name, levels.rows(), levels.cols(), scales.cols(), entry.format);
  }
}

void kron(i64 width, i64 tokens, int bits) {
  std::vector<float> all;
  for (float some[4096]; std::size_t n = std::fread(some, sizeof(float), 4096, stdin);) all.insert(all.end(), some, some + n);
  const i64 rows = static_cast<i64>(all.size()) / width - tokens;
  CHECK(rows > 0 && static_cast<i64>(all.size()) == (tokens + rows) * width);
  Threads threads(1);
  const std::vector<float> learned = learn_kronecker({all.data(), tokens, width}, {all.data() + tokens * width, rows, width}, {.bits = bits}, threads);
  std::fwrite(learned.data(), sizeof(float), learned.size(), stdout);
}

int probe(std::span<char*> arguments) {
  std::string what = arguments.size() > 1 ? arguments[1] : "";
  if (what == "greedy" && arguments.size() == 6)
    greedy(arguments[2], options_of(arguments[3], arguments[4]), std::atol(arguments[5]));
  else if (what == "logits" && arguments.size() == 5) logits(arguments[2], options_of(arguments[3], arguments[4]));
  else if (what == "weights" && arguments.size() == 4) weights(arguments[2], arguments[3]);
  else if (what == "kron" && arguments.size() == 5) kron(std::atol(arguments[2]), std::atol(arguments[3]), std::atoi(arguments[4]));
  else if (what == "codes" && arguments.size() == 4) codes(arguments[2], arguments[3]);
  else return std::fprintf(stderr, "usage: bitkerf_probe greedy MODEL FORM CACHE N | logits MODEL FORM CACHE | weights MODEL FOLDER | codes MODEL FOLDER | kron WIDTH TOKENS BITS\n"), 2;
  return 0;
}

}  // namespace
}  // namespace bitkerf

int main(int count, char** arguments) {
  try {
    return bitkerf::probe({arguments, static_cast<std::size_t>(count)});
  } catch (const bitkerf::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return row_of(error.fault()).exit_code;
  }
}
