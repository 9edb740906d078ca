#include "verify/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include "verify/guarded.h"
#include "verify/problem.h"

namespace bitkerf {
namespace {

// What a case found; ends it.
struct Wrong {
  std::string what;
};
template <class... Args>
[[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) {
  throw Wrong{fmt::format(format, std::forward<Args>(args)...)};
}

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

// Its packed bytes lie between forbidden pages; everything else is the original's.
class GuardedLinear final : public PackedLinear {
 public:
  GuardedLinear(const PackedLinear& inner, const std::byte* bytes)
      : PackedLinear(inner.shape(), static_cast<i64>(inner.packed_bytes().size()) / inner.panels(), inner.input(), bytes), inner_(inner) {}
  KernelList kernels(Isa isa) const override { return inner_.kernels(isa); }
  const PanelKernels& choose(Isa isa, i64 tokens) const override { return inner_.choose(isa, tokens); }
  const void* kernel_data() const override { return inner_.kernel_data(); }
  i64 bytes() const override { return inner_.bytes(); }
  std::string describe() const override { return inner_.describe(); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override { inner_.expand_stored(first, out); }

 private:
  const PackedLinear& inner_;
};

// A row of floats here and there: rows `stride` apart between forbidden pages, 0xff (NaN) in the gaps.
class GuardedRows {
 public:
  GuardedRows(i64 rows, i64 cols, i64 stride, Edge edge)
      : memory_((rows > 0 ? (rows - 1) * stride + cols : 0) * 4, 4, edge), view_(memory_.as<float>(), rows, cols, stride) {}
  GuardedRows(Matrix<const float> copy_of, i64 stride, Edge edge) : GuardedRows(copy_of.rows, copy_of.cols, stride, edge) {
    for (i64 r = 0; r < view_.rows; r++) std::copy_n(copy_of.row(r), view_.cols, view_.row(r));
  }
  Matrix<float> view() { return view_; }
  bool gaps_intact() {
    if (!memory_.intact()) return false;
    for (i64 r = 0; r + 1 < view_.rows; r++)
      for (i64 c = view_.cols; c < view_.stride; c++)
        if (std::uint32_t bits; std::memcpy(&bits, view_.row(r) + c, 4), bits != 0xffffffff) return false;
    return true;
  }
  bool holds(Matrix<const float> values) {
    for (i64 r = 0; r < view_.rows; r++)
      if (std::memcmp(view_.row(r), values.row(r), static_cast<std::size_t>(view_.cols) * 4) != 0) return false;
    return true;
  }

 private:
  Guarded memory_;
  Matrix<float> view_;
};

struct Path {
  Isa isa;
  std::string_view kernel;
};
struct How {
  int threads = 1;
  i64 at_once = 1 << 20;  // tokens
  Edge edge = Edge::back;
};

class Checker {
 public:
  Checker(const Subject& subject, const VerifyOptions& options)
      : subject(subject), options(options), one_(1), two_(2), three_(3) {
    Weights weights = make_weights(subject, {1, possible_cols(subject, 1)}, WeightPattern::ordinary, random);
    auto linear = pack(subject, weights, one_);
    for (const IsaRow& row : isas()) {
      if (!runs(row.isa)) continue;
      KernelList list = linear->kernels(row.isa);
      for (const PanelKernels* kernels : list.all()) {
        paths_.push_back({row.isa, kernels->name});
        max_tokens = std::max<i64>(max_tokens, kernels->max_tokens);
      }
    }
  }

  Problem problem(Shape shape, WeightPattern w, i64 tokens, InputPattern x) {
    shape.cols = possible_cols(subject, shape.cols);
    Weights weights = make_weights(subject, shape, w, random);
    return with_input(std::move(weights), make_input(*subject.input, tokens, shape.cols, x, random));
  }
  Problem with_input(Weights weights, OwnedMatrix<float> x) {
    Problem p = make_problem(subject, std::move(weights), std::move(x), three_);
    if (p.weights.quantized) {
      format_ = p.weights.quantized->format;
      std::erase_if(tensor_scales_, [&](const auto& known) { return known.first == p.linear.get(); });  // freed, and here again
      tensor_scales_.emplace_back(p.linear.get(), p.weights.quantized->tensor_scale);
    }
    return p;
  }

  // The matrix with its packed bytes elsewhere: opened there where the form can, as a mapped file is. A form that cannot
  // has kernels that know their panel by its bytes alone.
  std::unique_ptr<PackedLinear> placed(const PackedLinear& linear, std::byte* bytes) {
    if (subject.form->open && !subject.stored && !subject.pack)
      for (auto [known, scale] : tensor_scales_)
        if (known == &linear) return subject.form->open({*format_, subject.input, linear.shape(), scale, {bytes, linear.packed_bytes().size()}}, 0);
    return std::make_unique<GuardedLinear>(linear, bytes);
  }

  // Everything lies between forbidden pages; y starts as NaN, its rows and those of x are odd distances apart.
  OwnedMatrix<float> run(const PackedLinear& linear, Matrix<const float> x, const Path& path, How how = {}) {
    const i64 tokens = x.rows, rows = linear.shape().rows;
    if (arena_bytes_ < linear.scratch(tokens)) {
      arena_bytes_ = linear.scratch(tokens);
      arena_ = std::make_unique<Arena>(arena_bytes_);
    }
    GuardedRows in(x, x.cols + 1 + x.cols % 2 * 4, how.edge), out(tokens, rows, rows + 1 + rows % 2 * 2, how.edge);
    auto packed = linear.packed_bytes();
    Guarded bytes(packed.data(), static_cast<i64>(packed.size()), 64, how.edge);
    std::unique_ptr<PackedLinear> guarded = placed(linear, bytes.data());
    Threads& threads = how.threads == 1 ? one_ : how.threads == 2 ? two_ : three_;
    Context context{threads, *arena_, path.isa, path.kernel};
    auto body = [&] {
      for (i64 t = 0; t < tokens; t += how.at_once) {
        const i64 n = std::min(how.at_once, tokens - t);
        guarded->apply(Matrix<const float>(in.view()).sub_rows(t, n), out.view().sub_rows(t, n), context);
      }
    };
    if (how.threads > 1) {
      if (touched_) wrong("not run with more threads: it touches memory beside its operands");  // nobody survives that
      body();
    } else if (!survives_here(body)) {
      arena_ = nullptr, arena_bytes_ = 0;  // its marks are wrong
      wrong("touches memory {} an operand, {} tokens, {}x{}", how.edge == Edge::back ? "behind" : "in front of", tokens, rows, x.cols);
    }
    if (std::memcmp(bytes.data(), packed.data(), packed.size()) != 0 || !bytes.intact()) wrong("writes to the weights");
    if (!in.holds(x) || !in.gaps_intact()) wrong("writes to the input");
    if (!out.gaps_intact()) wrong("writes beside the output, {} tokens, {} rows", tokens, rows);
    OwnedMatrix<float> y(tokens, rows);
    for (i64 t = 0; t < tokens; t++) std::copy_n(out.view().row(t), rows, y.view().row(t));
    return y;
  }

  bool survives_here(const std::function<void()>& body) {
    const bool good = survives(body);
    touched_ |= !good;
    return good;
  }
  // Runs body for every kernel and instruction set; what it finds is that path's.
  template <class Body>
  void each_path(Body&& body) {
    for (std::size_t i = 0; i < paths_.size(); i++) {
      case_ = &row(i);
      if (!case_->wrong.empty()) continue;  // one mistake a case
      try {
        body(paths_[i]);
      } catch (const Wrong& w) {
        case_->wrong = w.what;
      }
    }
    case_ = nullptr;
  }

  // `ordinary`: outputs near zero are no result of the pattern.
  void compare(const Verdict& v, float y, i64 t, i64 r, const char* what, bool ordinary = true) {
    if (ordinary || v.want != 0) {
      case_->compared++;
      case_->zero += y == 0;
      case_->small += std::fabs(y) < 0.01f;
    }
    const double error = std::fabs(y - v.want);
    auto say = [&](const char* rule, double want) { wrong("{}: output {} of token {} is {}, {} {}", what, r, t, y, rule, want); };
    if (v.exact) {
      if (!(error == 0)) say("exactly", v.want);
    } else if (v.ordered) {
      if (!(y == *v.ordered) && !(y != y && *v.ordered != *v.ordered)) say("in the documented order", *v.ordered);
    } else {
      case_->worst = std::max(case_->worst, error / v.bound);
      if (!(error <= v.bound)) say("within its bound", v.want);
    }
  }
  void compare(const Problem& p, Matrix<const float> y, const char* what, bool ordinary = true) {
    for (i64 t = 0; t < y.rows; t++)
      for (i64 r = 0; r < y.cols; r++) compare(p.verdict(t, r), y(t, r), t, r, what, ordinary);
  }
  void same(Matrix<const float> a, Matrix<const float> b, const char* what) {
    for (i64 t = 0; t < a.rows; t++)
      for (i64 r = 0; r < a.cols; r++) {
        case_->compared++;
        case_->zero += b(t, r) == 0;
        case_->small += std::fabs(b(t, r)) < 0.01f;
        if (!same_bits(a(t, r), b(t, r))) wrong("{}: output {} of token {} is {} and {}", what, r, t, a(t, r), b(t, r));
      }
  }

  void begin(std::string_view check) {
    check_ = check;
    for (std::size_t i = 0; i < paths_.size(); i++) row(i);
  }
  std::vector<KernelCase> finish() {
    for (KernelCase& c : cases_) {
      if (!c.wrong.empty() || c.compared == 0) continue;
      if (2 * c.zero > c.compared) c.wrong = fmt::format("{} of {} outputs compared are 0", c.zero, c.compared);
      else if (c.small == c.compared) c.wrong = fmt::format("all of {} outputs compared lie within +-0.01", c.compared);
    }
    return std::move(cases_);
  }
  KernelCase& current() { return *case_; }

  const Subject& subject;
  const VerifyOptions& options;
  std::mt19937 random{1};
  i64 max_tokens = 1;

 private:
  KernelCase& row(std::size_t path) {
    const std::string name = fmt::format("{}/{}/{}", subject.form->name, paths_[path].kernel, row_of(paths_[path].isa).name);
    for (KernelCase& c : cases_)
      if (c.kernel == name && c.check == check_) return c;
    return cases_.emplace_back(KernelCase{name, subject.format, subject.input->name, check_, 0, 0, 0, 0, {}});
  }

  Threads one_, two_, three_;
  std::unique_ptr<Arena> arena_;
  i64 arena_bytes_ = 0;
  bool touched_ = false;
  std::optional<NumberFormat> format_;
  std::vector<std::pair<const PackedLinear*, float>> tensor_scales_;
  std::vector<Path> paths_;
  std::string_view check_;
  std::vector<KernelCase> cases_;
  KernelCase* case_ = nullptr;
};

// The encoder of the path, on its own: every part of the memory that it writes.
void check_encoding(Checker& k) {
  const Encoding& e = *k.subject.input;
  const i64 tokens = 5;
  for (i64 cols : {1, 31, 33, 64, 157})
    for (InputPattern pattern : {InputPattern::ordinary, InputPattern::integers, InputPattern::zeros, InputPattern::identity, InputPattern::extremes,
                                 InputPattern::outliers, InputPattern::subnormal, InputPattern::huge}) {
      OwnedMatrix<float> x = make_input(e, tokens, cols, pattern, k.random);
      std::optional<Codes> want = encode_by_rule(e, x.view());
      if (!want) return;
      k.each_path([&](const Path& path) {
        GuardedRows in(x.view(), cols + 3, cols % 2 ? Edge::front : Edge::back);
        Guarded memory(e.bytes(tokens, cols), 64, Edge::back, kArenaSlack);
        auto body = [&] {
          e.prepare(memory.data(), tokens, cols);
          e.encode(path.isa, in.view(), 0, 2, memory.data());
          e.encode(path.isa, in.view(), 2, tokens, memory.data());
        };
        if (!survives(body)) wrong("the encoder touches memory beside an operand, {} columns", cols);
        if (!memory.intact() || !in.holds(x.view()) || !in.gaps_intact()) wrong("the encoder writes beside its output");
        if (std::string what = difference(e, *want, memory.data()); !what.empty()) wrong("the encoder, {} columns: {}", cols, what);
      });
    }
}

// Shapes where loops begin, end and wrap; each with data for which every float operation is exact, then any data.
void check_shapes(Checker& k) {
  std::vector<Shape> shapes = {{1, 1}, {33, 0}, {31, 33}, {32, 64}, {33, 31}, {37, 157}, {64, 63}, {5, 1057}, {3, 1500}};
  if (k.options.full) shapes.insert(shapes.end(), {{97, 1024}, {65, 1025}, {64, 1023}, {576, 576}, {41, 4097}, {192, 1536}, {131, 2048}});
  for (const Shape& shape : shapes)
    for (auto [w, x] : {std::pair{WeightPattern::powers, InputPattern::integers}, {WeightPattern::ordinary, InputPattern::ordinary}}) {
      const i64 tokens = shape.rows > 64 ? 4 : k.max_tokens + 1;
      Problem p = k.problem(shape, w, tokens, x);
      k.each_path([&](const Path& path) {
        k.compare(p, k.run(*p.linear, p.x.view(), path).view(), "tokens together");
        k.compare(p, k.run(*p.linear, p.x.view(), path, {1, 1, Edge::front}).view(), "token by token");
      });
    }
}

// Every number of tokens: what each token gives alone. In the short run a subject takes those about the edges of tiles
// and a sixth of the others to 70; other subjects of the same kernels take the rest.
void check_tokens(Checker& k) {
  Problem p = k.problem({3, 33}, WeightPattern::ordinary, 513, InputPattern::ordinary);
  std::vector<i64> counts;
  i64 turn = 0;
  for (char c : k.subject.name()) turn += c;
  for (i64 n = 1; n <= 70; n++)
    if (k.options.full || n <= k.max_tokens + 1 || (n + turn) % 6 == 0) counts.push_back(n);
  for (i64 n = 127; n <= 513; n++) {
    const i64 edge = n % k.max_tokens;
    bool power = (n & (n - 1)) == 0 || (n & (n + 1)) == 0 || ((n - 1) & (n - 2)) == 0;
    if (power || (k.options.full && (edge <= 1 || edge == k.max_tokens - 1))) counts.push_back(n);
  }
  k.each_path([&](const Path& path) {
    OwnedMatrix<float> alone = k.run(*p.linear, p.x.view(), path, {1, 1});
    k.compare(p, alone.view(), "alone");
    for (i64 n : counts) k.same(alone.view().sub_rows(0, n), k.run(*p.linear, p.x.view().sub_rows(0, n), path).view(), "tokens together");
  });
}

// The kernel itself without the framework: every operand ends, then begins, at a forbidden page.
void check_guards(Checker& k) {
  for (Shape shape : {Shape{32, 33}, Shape{32, 64}, Shape{32, 1057}}) {
    const i64 tokens = k.max_tokens + 1;
    Problem p = k.problem(shape, WeightPattern::powers, tokens, InputPattern::ordinary);
    const Encoding& e = *k.subject.input;
    shape = p.linear->shape();
    k.each_path([&](const Path& path) {
      const PanelKernels* kernels = nullptr;
      KernelList list = p.linear->kernels(path.isa);
      for (const PanelKernels* row : list.all())
        if (row->name == path.kernel) kernels = row;
      if (!kernels) wrong("there is no such kernel for {} columns", shape.cols);
      if (kernels->max_tokens < 1 || kernels->max_tokens > kMaxTokens) wrong("max_tokens is {}", kernels->max_tokens);
      for (Edge edge : {Edge::back, Edge::front}) {
        GuardedRows in(p.x.view(), shape.cols + 1, edge);
        Matrix<const float> floats = in.view();
        Guarded memory(e.bytes(tokens, shape.cols), 64, edge, kArenaSlack);
        std::optional<Codes> codes = encode_by_rule(e, p.x.view());
        const void* input = &floats;
        std::vector<Verdict> verdicts = p.verdicts;
        if (e.bytes(tokens, shape.cols) > 0) {
          e.prepare(memory.data(), tokens, shape.cols);
          e.encode(path.isa, in.view(), 0, tokens, memory.data());
          input = memory.data();
          if (codes) {  // any rule's scales become powers of two: sums are exact integers
            round_scales_to_powers(*codes, memory.data());
            verdicts = judge_all(k.subject, p.weights, p.x.view(), &*codes);
          }
        }
        std::vector<std::byte> encoded(memory.data(), memory.data() + memory.bytes());
        auto packed = p.linear->packed_bytes();
        Guarded panel(packed.data(), static_cast<i64>(packed.size()), 64, edge);
        std::unique_ptr<PackedLinear> placed = k.placed(*p.linear, panel.data());
        const void* self = placed->kernel_data();
        OwnedMatrix<float> alone(tokens, kPanelRows);
        for (i64 t = 0; t < tokens; t++) {
          GuardedRows y(1, kPanelRows, kPanelRows, edge);
          if (kernels->prepare) {  // writes the part of the input that is its own
            if (!k.survives_here([&] { kernels->prepare(input, t); })) wrong("prepare() touches memory beside an operand, {} columns", shape.cols);
            encoded.assign(memory.data(), memory.data() + memory.bytes());
          }
          if (!k.survives_here([&] { kernels->one(self, panel.data(), shape.cols, input, tokens, t, y.view().data); }))
            wrong("one() touches memory {} an operand, {} columns", edge == Edge::back ? "behind" : "in front of", shape.cols);
          if (!y.gaps_intact()) wrong("one() writes beside its output");
          std::copy_n(y.view().data, kPanelRows, alone.view().row(t));
          for (i64 r = 0; r < shape.rows; r++) k.compare(verdicts[static_cast<std::size_t>(t * shape.rows + r)], alone(t, r), t, r, "one()");
        }
        const i64 cols = round_up(shape.cols, e.pad);
        for (i64 n = 1; kernels->unpack && n <= kernels->max_tokens; n++) {
          if (!kernels->tile[n]) wrong("there is no tile of {} tokens", n);
          const i64 token = tokens - n;
          GuardedRows y(n, kPanelRows, kPanelRows + 7, edge);
          for (i64 first = 0; first < cols; first += kPassCols) {
            const i64 count = std::min(kPassCols, cols - first);
            Guarded scratch(round_up<i64>(kernels->tile_bytes(count), 64), 64, edge, kArenaSlack);
            auto body = [&] {
              const void* tile = kernels->unpack(self, panel.data(), cols, first, count, scratch.data());
              kernels->tile[n](tile, cols, first, count, input, tokens, token, y.view().data, y.view().stride);
            };
            if (!k.survives_here(body)) wrong("a tile of {} tokens touches memory {} an operand, {} columns", n, edge == Edge::back ? "behind" : "in front of", cols);
            if (!scratch.intact()) wrong("unpack() writes beside its {} bytes of scratch", kernels->tile_bytes(count));
          }
          if (!y.gaps_intact()) wrong("a tile of {} tokens writes beside its output", n);
          for (i64 t = 0; t < n; t++)
            for (i64 r = 0; r < shape.rows; r++)
              if (!same_bits(y.view()(t, r), alone(token + t, r)))
                wrong("a tile of {} tokens gives {} where one() gives {}", n, y.view()(t, r), alone(token + t, r));
        }
        if (std::memcmp(panel.data(), packed.data(), packed.size()) != 0) wrong("writes to the weights");
        if (!memory.intact() || std::memcmp(memory.data(), encoded.data(), encoded.size()) != 0) wrong("writes to the encoded input");
        if (!in.holds(p.x.view()) || !in.gaps_intact()) wrong("writes to the input");
      }
    });
  }
}

// Weights and activations that are far from normal.
void check_values(Checker& k) {
  for (WeightPattern w : {WeightPattern::ordinary, WeightPattern::extreme, WeightPattern::lowest, WeightPattern::one})
    for (InputPattern x : {InputPattern::zeros, InputPattern::identity, InputPattern::extremes, InputPattern::outliers, InputPattern::subnormal,
                           InputPattern::tiny, InputPattern::small, InputPattern::huge, InputPattern::cancelling}) {
      if (w != WeightPattern::ordinary && x != InputPattern::identity && x != InputPattern::extremes) continue;
      const i64 cols = possible_cols(k.subject, 65);
      Problem p = k.problem({33, cols}, w, x == InputPattern::identity ? cols : 7, x);
      k.each_path([&](const Path& path) {
        k.compare(p, k.run(*p.linear, p.x.view(), path).view(), "tokens together", false);
        k.compare(p, k.run(*p.linear, p.x.view().sub_rows(0, 2), path, {1, 1}).view(), "token by token", false);
      });
    }
}

// A token with a value that is no number has no number in its output; the others do not notice.
void check_nan(Checker& k) {
  const i64 tokens = k.max_tokens + 2;
  Problem p = k.problem({33, 97}, WeightPattern::ordinary, tokens, InputPattern::ordinary);
  const i64 cols = p.x.cols();
  for (float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (i64 at : {i64{0}, i64{40}, cols - 1}) {
      OwnedMatrix<float> x(tokens, cols);
      std::copy_n(p.x.view().data, tokens * cols, x.view().data);
      const i64 token = at % tokens;
      x(token, at % cols) = value;
      k.each_path([&](const Path& path) {
        for (i64 at_once : {tokens, i64{1}}) {
          OwnedMatrix<float> y = k.run(*p.linear, x.view(), path, {1, at_once});
          for (i64 t = 0; t < tokens; t++)
            for (i64 r = 0; r < y.cols(); r++) {
              if (t != token) k.compare(p.verdict(t, r), y(t, r), t, r, "beside a token with NaN");
              else if (std::isfinite(y(t, r))) wrong("{} in column {} gives {} at output {}", value, at, y(t, r), r);
            }
        }
      });
    }
}

// One element of x or one code is another: outputs are others exactly where the reference is.
void check_sensitivity(Checker& k) {
  const i64 tokens = 3;
  Problem p = k.problem({33, 70}, WeightPattern::powers, tokens, InputPattern::integers);
  const i64 cols = p.x.cols();
  std::vector<Problem> changed;
  for (i64 c : {i64{1}, i64{31}, cols / 2 + 1, cols - 1}) {
    OwnedMatrix<float> x(tokens, cols);
    std::copy_n(p.x.view().data, tokens * cols, x.view().data);
    x(1, c) = x(1, c) == 1 ? -1.0f : 1.0f;
    changed.push_back(k.with_input(p.weights.copy(), std::move(x)));
    if (!p.weights.quantized) continue;
    Weights other = p.weights.copy();
    const i64 code = c / p.weights.quantized->format.grid.dimension();
    std::uint16_t& at = other.quantized->codes(c % 33, code);
    at = static_cast<std::uint16_t>(at == 0 ? p.weights.quantized->format.grid.levels() - 1 : 0);
    OwnedMatrix<float> same_x(tokens, cols);
    std::copy_n(p.x.view().data, tokens * cols, same_x.view().data);
    changed.push_back(k.with_input(std::move(other), std::move(same_x)));
  }
  k.each_path([&](const Path& path) {
    OwnedMatrix<float> before = k.run(*p.linear, p.x.view(), path);
    k.compare(p, before.view(), "before the change");
    for (const Problem& q : changed) {
      OwnedMatrix<float> after = k.run(*q.linear, q.x.view(), path);
      k.compare(q, after.view(), "after the change");
      for (i64 t = 0; t < tokens; t++)
        for (i64 r = 0; r < after.cols(); r++) {
          const Verdict &a = p.verdict(t, r), &b = q.verdict(t, r);
          const bool differs = a.exact ? a.want != b.want : a.ordered && b.ordered ? *a.ordered != *b.ordered : std::fabs(a.want - b.want) > a.bound + b.bound;
          if (differs && before(t, r) == after(t, r)) wrong("output {} of token {} does not notice a change", r, t);
          if (a.want == b.want && a.ordered == b.ordered && !same_bits(before(t, r), after(t, r))) wrong("output {} of token {} notices a change elsewhere", r, t);
        }
    }
  });
}

// What must not change a bit, and what changes bits in a known way.
void check_relations(Checker& k) {
  const i64 tokens = 2 * k.max_tokens + 3;
  Problem p = k.problem({97, 129}, WeightPattern::ordinary, tokens, InputPattern::ordinary);
  const i64 cols = p.x.cols(), rows = 97;
  bool shared_scales = p.weights.quantized && p.weights.quantized->format.group_rows > 1;
  Problem reversed = k.with_input(shared_scales ? p.weights.copy() : p.weights.with_rows_reversed(),
                                  make_input(*k.subject.input, 1, cols, InputPattern::ordinary, k.random));
  OwnedMatrix<float> twice(tokens, cols), negative(tokens, cols);
  for (i64 i = 0; i < tokens * cols; i++) {
    twice.view().data[i] = 2 * p.x.view().data[i];
    negative.view().data[i] = -p.x.view().data[i];
  }
  OwnedMatrix<float> first;
  k.each_path([&](const Path& path) {
    OwnedMatrix<float> y = k.run(*p.linear, p.x.view(), path);
    k.compare(p, y.view(), "tokens together");
    if (first.rows() == 0) first = k.run(*p.linear, p.x.view(), path);
    k.same(first.view(), y.view(), "another kernel or instruction set");
    k.same(y.view(), k.run(*p.linear, p.x.view(), path, {1, 1 << 20, Edge::front}).view(), "again, elsewhere in memory");
    for (int threads : {2, 3})
      for (int round = 0; round < 3; round++) k.same(y.view(), k.run(*p.linear, p.x.view(), path, {threads, 1 << 20}).view(), "more threads");
    k.same(y.view(), k.run(*p.linear, p.x.view(), path, {2, 1}).view(), "more threads, token by token");
    for (i64 at_once : {i64{1}, i64{2}, i64{5}, k.max_tokens, k.max_tokens + 1})
      k.same(y.view(), k.run(*p.linear, p.x.view(), path, {1, at_once}).view(), "fewer tokens at once");
    OwnedMatrix<float> z = k.run(*reversed.linear, p.x.view(), path), order(tokens, rows);
    for (i64 t = 0; t < tokens; t++)
      for (i64 r = 0; r < rows; r++) order(t, r) = z(t, shared_scales ? r : rows - 1 - r);
    k.same(y.view(), order.view(), "rows in reverse");
    z = k.run(*p.linear, twice.view(), path);
    for (i64 i = 0; i < tokens * rows; i++) z.view().data[i] /= 2;
    k.same(y.view(), z.view(), "of 2 x, halved");
    if (k.subject.input->bipolar) return;  // a code of 0 is no code's negative
    z = k.run(*p.linear, negative.view(), path);
    for (i64 i = 0; i < tokens * rows; i++) z.view().data[i] = z.view().data[i] == 0 ? y.view().data[i] : -z.view().data[i];
    k.same(y.view(), z.view(), "of -x, negated");
  });
}

// Of activations that share no unit of 32 columns: f(x + y) = f(x) + f(y), exactly where all three are exact.
void check_sums(Checker& k) {
  if (k.subject.input->bipolar) return;  // a code of 0 is no nothing
  const i64 tokens = 4;
  Problem p = k.problem({33, 200}, WeightPattern::powers, tokens, InputPattern::integers);
  const i64 cols = p.x.cols();
  std::vector<Problem> parts;
  for (i64 part = 0; part < 2; part++) {
    OwnedMatrix<float> x(tokens, cols);
    for (i64 t = 0; t < tokens; t++)
      for (i64 c = 0; c < cols; c++) x(t, c) = c / 32 % 2 == part ? p.x(t, c) : 0;
    parts.push_back(k.with_input(p.weights.copy(), std::move(x)));
  }
  k.each_path([&](const Path& path) {
    OwnedMatrix<float> sum = k.run(*p.linear, p.x.view(), path);
    OwnedMatrix<float> a = k.run(*parts[0].linear, parts[0].x.view(), path), b = k.run(*parts[1].linear, parts[1].x.view(), path);
    for (i64 t = 0; t < tokens; t++)
      for (i64 r = 0; r < sum.cols(); r++) {
        k.compare(p.verdict(t, r), sum(t, r), t, r, "of x + y");
        const bool exact = p.verdict(t, r).exact && parts[0].verdict(t, r).exact && parts[1].verdict(t, r).exact;
        if (exact && sum(t, r) != a(t, r) + b(t, r)) wrong("output {} of token {} is {} of x + y, {} of x and {} of y", r, t, sum(t, r), a(t, r), b(t, r));
      }
  });
}

struct Check {
  KernelCheck what;
  void (*run)(Checker&);
};
constexpr Check kChecks[] = {
    {{"encoding", "codes, scales and sums of activations by their rule"}, check_encoding},
    {{"guards", "each kernel alone, forbidden pages beside every operand; equality with integers"}, check_guards},
    {{"shapes", "0, 1, primes, tile -1, +0, +1, model sizes; x and y with odd strides, y starts as NaN"}, check_shapes},
    {{"tokens", "1 to 70 and about edges to 513: each token as alone"}, check_tokens},
    {{"values", "zeros, one-hot, extreme codes, outliers 1e4, 1e-40, 1e-32, 1e-6, 1e30, cancellation"}, check_values},
    {{"nan", "NaN and infinity stay in their token, and are not lost"}, check_nan},
    {{"sensitivity", "one element or code changed: outputs change exactly where they must"}, check_sensitivity},
    {{"relations", "runs, addresses, threads, tokens, kernels: same bits; rows reversed, 2x, -x"}, check_relations},
    {{"sums", "f(x + y) = f(x) + f(y) where all are exact"}, check_sums},
};

}  // namespace

std::span<const KernelCheck> kernel_checks() {
  static const std::vector<KernelCheck> kList = [] {
    std::vector<KernelCheck> list;
    for (const Check& check : kChecks) list.push_back(check.what);
    return list;
  }();
  return kList;
}

std::string Subject::name() const { return fmt::format("{} {} {}", form->name, format, input->name); }

std::vector<Subject> kernel_subjects(bool full) {
  std::vector<Subject> list;
  for (const FormRow& form : forms()) {
    if (form.holds_stored && form.make)
      for (const StoredType& type : stored_types()) {
        if ((type.name[0] == 'I' && type.name[1] != 'Q') || type.name == "F64") continue;  // I8 ... I64 are no weights
        if (!form.holds_stored(type)) continue;
        // Which encoding a form has chosen is known when it is packed.
        Subject subject{&form, std::string(type.name), &type, &float_input()};
        std::mt19937 random(1);
        Threads threads(1);
        subject.input = &pack(subject, make_weights(subject, {1, possible_cols(subject, 1)}, WeightPattern::ordinary, random), threads)->input();
        list.push_back(subject);
      }
    if (!form.pack || !form.holds_format) continue;
    const char* suffixes[] = {"", ".row", ".g16", ".g32.f32", ".g64.bf16", ".g128.e8m0", ".g96.e4m3", ".b5x40", ".u8.g32", ".u8.g16"};
    const std::size_t all = std::size(suffixes);
    auto add = [&](const std::string& spec, const NumberFormat& format, const Encoding& input) {
      for (const Subject& known : list)
        if (known.form == &form && known.format == spec && known.input == &input) return false;
      list.push_back({&form, spec, nullptr, &input, {}, form.rounding ? double{form.rounding(format)} : 0.0});
      return true;
    };
    struct Held {
      std::string spec;
      NumberFormat format;
    };
    // By format, with every suffix that the form holds: a format's own is the first.
    std::vector<std::vector<Held>> held;
    for (const FormatRow& row : number_formats()) {
      std::vector<Held> of_row;
      for (const char* suffix : suffixes) {
        Held h{std::string(row.name) + suffix, {}};
        h.format = parse_number_format(h.spec);
        if (form.holds_format(h.format)) of_row.push_back(std::move(h));
        else if (*suffix == 0) break;
      }
      if (!of_row.empty()) held.push_back(std::move(of_row));
    }
    std::size_t turn = 0;
    for (const std::vector<Held>& of_row : held) {
      const std::size_t other = 1 + turn++ % (all - 1);
      for (std::size_t i = 0; i < of_row.size(); i++)
        // Without open(), all formats become the same floats when they are packed.
        if (full || i == 0 || (form.open && i == 1 + other % std::max<std::size_t>(1, of_row.size() - 1)))
          add(of_row[i].spec, of_row[i].format, usual_input(form, of_row[i].format));
    }
    // Every encoding with some formats and suffixes, other ones each time; with all formats, each with several suffixes,
    // when there is time.
    for (const Encoding& input : encodings()) {
      std::size_t wanted = full ? 2 * held.size() : 2;
      for (std::size_t tries = 0; tries < 4 * held.size() && wanted > 0; tries++, turn++) {
        const std::vector<Held>& of_row = held[turn % held.size()];
        const Held& h = of_row[(turn / held.size() + 3 * turn) % of_row.size()];
        if (&input == &usual_input(form, h.format) || !takes(form, h.format, input)) continue;
        wanted -= add(h.spec, h.format, input);
      }
    }
  }
  return list;
}

std::vector<KernelCase> verify_kernels(const Subject& subject, const VerifyOptions& options) {
  Checker checker(subject, options);
  for (int seed = 1; seed <= options.seeds; seed++)
    for (const Check& check : kChecks) {
      if (!options.check.empty() && check.what.name != options.check) continue;
      if (&check == &kChecks[0] && subject.input->bits == 0) continue;
      checker.random.seed(static_cast<unsigned>(seed));
      checker.begin(check.what.name);
      check.run(checker);
    }
  return checker.finish();
}

}  // namespace bitkerf
