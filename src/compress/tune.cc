#include "compress/tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numbers>

#include "compress/backward/measure_divergence.h"
#include "core/error.h"
#include "core/float16.h"
#include "files/compact_vocabulary.h"
#include "files/gguf.h"
#include "files/packed_tensors.h"
#include "forms/list.h"
#include "models/file_source.h"
#include "models/list.h"
#include "models/packed_part.h"

namespace bitkerf {
namespace {

using backward::Derivatives;
using backward::DifferentiableDecoder;
using Windows = std::span<const std::vector<Token>>;

std::string without_weight(const std::string& name) { return name.substr(0, name.size() - std::string_view(".weight").size()); }

// Whether a row's scales can follow a factor near 1.
bool follows(const NumberFormat& format) {
  return format.scale->of_row || (format.group_rows == 1 && std::fabs(format.scale->round(1.002f) - 1.002f) < 1e-3f);
}

struct NamedGain {
  std::string name;
  Buffer<float>* gain;
};
std::vector<NamedGain> gains_of(DecoderWeights& weights) {
  std::vector<NamedGain> all;
  auto add = [&](const std::string& name, Buffer<float>& gain) {
    if (gain.size() > 0) all.push_back({name, &gain});
  };
  for (std::size_t i = 0; i < weights.layers.size(); i++) {
    DecoderLayer& l = weights.layers[i];
    std::string at = fmt::format("blk.{}.", i);
    add(at + "attn_norm", l.attention_norm);
    add(at + "attn_q_norm", l.q_norm);
    add(at + "attn_k_norm", l.k_norm);
    add(at + "post_attention_norm", l.post_attention_norm);
    add(at + "ffn_norm", l.feed_forward_norm);
    add(at + "post_ffw_norm", l.post_feed_forward_norm);
  }
  add("output_norm", weights.last_norm);
  return all;
}

// What moves: a number per gain and per row, 0 at the start. A gain is then first + size * number, a row's factor e^number.
struct Moved {
  std::string name;
  Buffer<float>* gain = nullptr;   // nullptr: factors of rows of the matrix `name`
  std::vector<float> first, size;  // of gains; rows that cannot move have size 0
  std::size_t at = 0;              // of its first number
  std::size_t count() const { return size.size(); }
};

// The vocabulary of our files is expanded when they are opened: it is made small again, or the file would outgrow its budget.
void write_as_read(const std::string& out, const ModelFile& file, std::span<const Tensor> tensors) {
  Metadata metadata = file.metadata();
  if (!read_packed_tensors(metadata).empty()) compact_vocabulary(metadata);
  write_gguf(out, metadata, tensors);
}

class Tuner {
 public:
  Tuner(const ModelFile& source, const ModelFile& compressed, Windows windows, Threads& threads, const TuneOptions& options)
      : compressed_(compressed), windows_(windows), threads_(threads), options_(options), teacher_(backward::open_decoder(source, threads)),
        student_(backward::open_decoder(compressed, threads)) {
    const ModelShape &a = teacher_.spec().shape, &b = student_.spec().shape;
    if (a.vocabulary != b.vocabulary)
      fail(Fault::usage, "{} has a vocabulary of {}, its source {} one of {}", compressed.path(), b.vocabulary, source.path(), a.vocabulary);
    if (static_cast<i64>(windows.size()) <= options.judged)
      fail(Fault::usage, "tuning: {} windows of text, of which {} are kept to judge by", windows.size(), options.judged);
    for (const NamedGain& gain : gains_of(student_.weights())) {
      Moved& moved = add(gain.name, static_cast<std::size_t>(gain.gain->size()));
      moved.gain = gain.gain;
      double squares = 0;
      for (float g : gain.gain->span()) squares += double{g} * g;
      moved.first.assign(gain.gain->span().begin(), gain.gain->span().end());
      moved.size.assign(moved.first.size(), static_cast<float>(std::sqrt(squares / static_cast<double>(moved.first.size()))));
    }
    for (const PackedTensor& entry : read_packed_tensors(compressed.metadata())) {
      std::string matrix = without_weight(entry.matrix);
      auto known = std::find_if(moved_.begin(), moved_.end(), [&](const Moved& m) { return m.name == matrix; });
      Moved& moved = known != moved_.end() ? *known : add(matrix, static_cast<std::size_t>(entry.total));
      if (!follows(parse_number_format(entry.format))) continue;
      for (std::int32_t row : rows_of(compressed, entry)) moved.size[static_cast<std::size_t>(row)] = 1;
    }
    for (std::vector<float>* v : {&numbers_, &mean_, &square_}) v->assign(count_, 0.0f);
    key_ = fmt::format("{} {} {} {}; {} steps of {}, rates {} {}, {} windows", source.path(), source.file_bytes(), compressed.path(),
                       compressed.file_bytes(), options.steps, options.windows_per_step, options.gain_rate, options.factor_rate, windows.size());
  }

  // before: what judge() said of the file. False: stopped.
  bool train(double before, TuneReport& report) {
    using Clock = std::chrono::steady_clock;
    pace_ = std::sqrt(std::min(1.0, before / options_.full_divergence));
    resume();
    auto saved = Clock::now();
    for (; step_ < options_.steps; step_++) {
      if (asked_to_stop_) return save(), false;
      double loss = one_step();
      if (options_.progress && !options_.progress(step_ + 1, options_.steps, loss)) asked_to_stop_ = true;
      if (std::chrono::duration<double>(Clock::now() - saved).count() > options_.seconds_between_saves) {
        step_++;
        save();
        step_--;
        saved = Clock::now();
      }
      report.steps = step_ + 1;
    }
    return true;
  }

  // Mean divergence over the windows that are not trained on.
  double judge() { return divergence(student_); }
  double divergence(DifferentiableDecoder& student) {
    return backward::mean_divergence(teacher_, student, windows_.last(static_cast<std::size_t>(options_.judged)), 0, threads_);
  }

  void write(const std::string& out) {
    std::vector<Tensor> tensors = compressed_.tensors();
    std::vector<std::vector<std::byte>> owned;
    auto replace = [&](const std::string& name, std::vector<std::byte> bytes) {
      for (Tensor& tensor : tensors) {
        if (tensor.name != name) continue;
        CHECK_EQ(tensor.bytes, static_cast<i64>(bytes.size()));
        tensor.data = owned.emplace_back(std::move(bytes)).data();
      }
    };
    for (const Moved& moved : moved_)
      if (moved.gain) replace(moved.name + ".weight", stored_gain(moved));
    for (const PackedTensor& entry : read_packed_tensors(compressed_.metadata())) {
      for (const Moved& moved : moved_)
        if (!moved.gain && moved.name == without_weight(entry.matrix) && follows(parse_number_format(entry.format))) replace(entry.tensor, scaled(entry, moved));
    }
    write_as_read(out, compressed_, tensors);
  }

  void count(TuneReport& report) const {
    for (const Moved& moved : moved_)
      for (float size : moved.size) (moved.gain ? report.gains : report.rows) += size > 0;
    i64 longest = 0;
    for (const std::vector<Token>& window : windows_) longest = std::max(longest, static_cast<i64>(window.size()));
    report.bytes = student_.bytes(longest) + 4 * teacher_.spec().shape.vocabulary * teacher_.spec().shape.width;
  }

 private:
  Moved& add(const std::string& name, std::size_t size) {
    Moved& moved = moved_.emplace_back();
    moved.name = name;
    moved.size.assign(size, 0.0f);
    moved.at = count_;
    count_ += size;
    return moved;
  }

  // The numbers into the model.
  void apply() {
    for (const Moved& moved : moved_) {
      const float* numbers = numbers_.data() + moved.at;
      if (moved.gain) {
        for (std::size_t i = 0; i < moved.count(); i++) (*moved.gain)[static_cast<i64>(i)] = moved.first[i] + moved.size[i] * numbers[i];
        continue;
      }
      std::vector<float> factors;
      for (std::size_t i = 0; i < moved.count(); i++) factors.push_back(std::exp(numbers[i]));
      student_.set_factors(moved.name, factors);
    }
  }

  double one_step() {
    auto trained = windows_.size() - static_cast<std::size_t>(options_.judged);
    std::vector<std::span<const Token>> some;
    for (i64 i = 0; i < options_.windows_per_step; i++)
      some.push_back(windows_[static_cast<std::size_t>(step_ * options_.windows_per_step + i) % trained]);
    std::vector<OwnedMatrix<float>> hidden;
    std::vector<Matrix<float>> views;
    for (std::span<const Token> window : some)
      views.push_back(hidden.emplace_back(static_cast<i64>(window.size()), teacher_.spec().shape.width).view());
    teacher_.forward(some, views);
    apply();
    Derivatives sum;
    student_.differentiate(some, 0, backward::divergence([&](i64 window, i64 first, Matrix<float> logits) {
      teacher_.logits(views[static_cast<std::size_t>(window)].sub_rows(first, logits.rows), logits);
    }), sum);

    // Adam (Kingma and Ba 2015). Rows of rare tokens have gradients of 1e-8: kLeast keeps noise from moving them at full rate.
    constexpr double kMean = 0.9, kSquare = 0.99, kLeast = 1e-6;
    double cosine = 0.5 * (1 + std::cos(std::numbers::pi * static_cast<double>(step_) / static_cast<double>(options_.steps)));
    double mean_part = 1 - std::pow(kMean, static_cast<double>(step_ + 1)), square_part = 1 - std::pow(kSquare, static_cast<double>(step_ + 1));
    for (const Moved& moved : moved_) {
      const std::vector<double>& slope = moved.gain ? sum.gains.at(moved.name) : sum.matrices.at(moved.name).factor;
      double rate = pace_ * cosine * (moved.gain ? options_.gain_rate : options_.factor_rate);
      for (std::size_t i = 0; i < moved.count(); i++) {
        if (moved.size[i] == 0) continue;
        double d = slope[i] / static_cast<double>(sum.tokens) * moved.size[i];
        float &m = mean_[moved.at + i], &v = square_[moved.at + i];
        m = static_cast<float>(kMean * m + (1 - kMean) * d);
        v = static_cast<float>(kSquare * v + (1 - kSquare) * d * d);
        numbers_[moved.at + i] -= static_cast<float>(rate * (m / mean_part) / (std::sqrt(v / square_part) + kLeast));
      }
    }
    apply();
    return sum.loss / static_cast<double>(sum.tokens);
  }

  // As the file keeps it: without what models add to gains, in the tensor's own type.
  std::vector<std::byte> stored_gain(const Moved& moved) const {
    const Tensor* tensor = compressed_.find(moved.name + ".weight");
    CHECK(tensor != nullptr);
    std::vector<std::byte> bytes(tensor->data, tensor->data + tensor->bytes);
    for (std::size_t i = 0; i < moved.count(); i++) {
      float gain = (*moved.gain)[static_cast<i64>(i)] - student_.spec().norm_offset;
      if (tensor->type->name == "F32") std::memcpy(bytes.data() + 4 * i, &gain, 4);
      else if (tensor->type->name == "F16" || tensor->type->name == "BF16") {
        std::uint16_t half = tensor->type->name == "F16" ? f32_to_f16(gain) : f32_to_bf16(gain);
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      }
    }
    return bytes;
  }

  std::vector<std::byte> scaled(const PackedTensor& entry, const Moved& moved) const {
    const FormRow& row = form(entry.form);
    auto packed = open_packed_tensor(compressed_, entry, 0);
    const Encoding& input = packed->input();
    Quantized q = row.unpack(*packed);
    std::vector<std::int32_t> rows = rows_of(compressed_, entry);
    for (std::size_t r = 0; r < rows.size(); r++) scale_row(q, static_cast<i64>(r), std::exp(numbers_[moved.at + static_cast<std::size_t>(rows[r])]));
    std::span<const std::byte> bytes = {};
    std::unique_ptr<PackedLinear> again = row.pack(q, input, threads_);
    bytes = again->packed_bytes();
    return {bytes.begin(), bytes.end()};
  }

  // Scales and minima of a row times (about) `factor`. Multiples of a float16 of the row stay the multiples they are.
  static void scale_row(Quantized& q, i64 r, float factor) {
    auto scale_all = [&](std::span<float> values, const ScaleType& type, i64 which) {
      float unit = 0, scaled = 0;
      if (type.of_row) {
        unit = q.row_scales(r, which);
        q.row_scales(r, which) = scaled = f16_to_f32(f32_to_f16(unit * factor));
      }
      for (float& v : values) {
        if (type.of_row) v = unit > 0 ? v / unit * scaled : 0;
        else v = std::copysign(type.round(std::fabs(v * factor)), v);
      }
    };
    scale_all(q.scales.view().row_span(r), *q.format.scale, 0);
    if (q.format.has_minimum) scale_all(q.minima.view().row_span(r), minimum_type(*q.format.scale), 1);
  }

  void resume() {
    if (options_.state.empty() || !std::filesystem::exists(options_.state)) return;
    std::unique_ptr<ModelFile> file = open_model_file(options_.state);
    if (file->metadata().text("bitkerf.tune.key", "") != key_) return;
    step_ = file->metadata().integer("bitkerf.tune.step", 0, options_.steps);
    for (auto& [name, values] : state()) {
      const Tensor* tensor = file->find(name);
      if (!tensor || tensor->bytes != static_cast<i64>(values->size() * sizeof(float))) fail(Fault::file, "{}: has no {}", options_.state, name);
      std::memcpy(values->data(), tensor->data, static_cast<std::size_t>(tensor->bytes));
    }
    apply();
  }
  void save() {
    if (options_.state.empty()) return;
    Metadata metadata(options_.state);
    metadata.set("general.architecture", std::string("bitkerf-tune"));
    metadata.set("bitkerf.tune.key", key_);
    metadata.set("bitkerf.tune.step", static_cast<std::uint64_t>(step_));
    std::vector<Tensor> tensors;
    for (auto& [name, values] : state())
      tensors.push_back({name, stored_type("F32"), {static_cast<i64>(values->size())}, reinterpret_cast<const std::byte*>(values->data()),
                         static_cast<i64>(values->size() * sizeof(float))});
    write_gguf(options_.state, metadata, tensors);
  }
  std::map<std::string, std::vector<float>*> state() { return {{"numbers", &numbers_}, {"mean", &mean_}, {"square", &square_}}; }

  const ModelFile& compressed_;
  Windows windows_;
  Threads& threads_;
  const TuneOptions& options_;
  DifferentiableDecoder teacher_, student_;
  std::vector<Moved> moved_;
  std::size_t count_ = 0;
  std::vector<float> numbers_, mean_, square_;  // what moves; Adam's running means
  double pace_ = 1;  // times the rates
  i64 step_ = 0;
  bool asked_to_stop_ = false;
  std::string key_;
};

}  // namespace

TuneReport tune_model(const ModelFile& source, const ModelFile& compressed, std::span<const std::vector<Token>> windows,
                      const std::string& out, Threads& threads, const TuneOptions& options) {
  TuneReport report;
  Tuner tuner(source, compressed, windows, threads, options);
  tuner.count(report);
  report.before = tuner.judge();
  if (!tuner.train(report.before, report)) return report;
  // Judged as it was written, scales rounded to their type.
  std::string tried = out + ".tuned";
  tuner.write(tried);
  {
    std::unique_ptr<ModelFile> file = open_model_file(tried);
    DifferentiableDecoder written = backward::open_decoder(*file, threads);
    report.after = tuner.divergence(written);
  }
  report.kept = report.after < report.before;
  if (report.kept) {
    std::filesystem::rename(tried, out);
  } else {
    std::filesystem::remove(tried);
    if (out != compressed.path()) write_as_read(out, compressed, compressed.tensors());
  }
  if (!options.state.empty()) std::filesystem::remove(options.state);
  return report;
}

}  // namespace bitkerf
