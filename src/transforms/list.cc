#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "transforms/diagonal.h"
#include "transforms/hadamard.h"
#include "transforms/kronecker.h"
#include "transforms/transform.h"

namespace bitkerf {
namespace {

constexpr TransformRow kTransforms[] = {
    {"hadamard", "random signs, then a Hadamard matrix over all columns: spreads outliers of weights and inputs", Hadamard::fits,
     [](i64 width, std::span<const float>) -> std::unique_ptr<Transform> { return std::make_unique<Hadamard>(width); }},
    {"diagonal", "a factor for every column; columns of factor 0 are left out", Diagonal::fits,
     [](i64, std::span<const float> factors) -> std::unique_ptr<Transform> { return std::make_unique<Diagonal>(factors); }, Diagonal::takes},
    {"kronecker", "P1^T (d X) P2, X the input as a matrix: any invertible P1 and P2, factors d of columns", Kronecker::fits,
     [](i64 width, std::span<const float> p) -> std::unique_ptr<Transform> { return std::make_unique<Kronecker>(width, p); }, Kronecker::takes},
    {"columns", "some of the columns, for a part of a matrix", Columns::fits,
     [](i64 width, std::span<const float> columns) -> std::unique_ptr<Transform> { return std::make_unique<Columns>(width, columns); }, Columns::takes},
};

// What has been made, newest first. Nodes are never removed, so readers need no lock.
struct Made {
  const TransformRow* row;
  i64 width;
  std::vector<float> parameters;
  std::unique_ptr<Transform> transform;
  const Made* next;
};
std::atomic<const Made*> made[2] = {};  // without parameters, which are few and looked up with every token; with them
std::mutex making;

const Made* find(const TransformRow& row, i64 width, std::span<const float> parameters) {
  const Made* at = made[!parameters.empty()].load(std::memory_order_acquire);
  while (at && (at->row != &row || at->width != width || !std::equal(at->parameters.begin(), at->parameters.end(), parameters.begin(), parameters.end())))
    at = at->next;
  return at;
}

}  // namespace

std::span<const TransformRow> transforms() { return kTransforms; }

const TransformRow& transform(std::string_view name) {
  std::string known;
  for (const TransformRow& row : kTransforms) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown transform '{}': expected one of {}", name, known);
}

const Transform& transform_of(const TransformRow& row, i64 width, std::span<const float> parameters) {
  if (const Made* found = find(row, width, parameters)) return *found->transform;
  CHECK(width > 0 && width <= kMostTransformed && row.fits(width));
  CHECK(row.has_parameters() ? row.takes(width, parameters) : parameters.empty());
  std::lock_guard lock(making);
  const Made* found = find(row, width, parameters);
  if (!found) {
    std::atomic<const Made*>& head = made[!parameters.empty()];
    found = new Made{&row, width, {parameters.begin(), parameters.end()}, row.make(width, parameters), head.load(std::memory_order_relaxed)};
    head.store(found, std::memory_order_release);
  }
  return *found->transform;
}

void transform_weights(const Transform& transform, Matrix<float> weights, Threads& threads) {
  const Isa isa = chosen_isa();
  threads.split(weights.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) {
      transform.weights(isa, weights.row(r), weights.row(r));
      std::fill(weights.row(r) + transform.outputs(weights.cols), weights.row(r) + weights.cols, 0.0f);
    }
  });
}

void transform_moment(const Transform& transform, Matrix<float> moment, Threads& threads) {
  CHECK_EQ(moment.rows, moment.cols);
  CHECK_EQ(transform.outputs(moment.cols), moment.cols);
  const Isa isa = chosen_isa();
  // T M, then (T (T M)^T)^T; M is symmetric.
  for (int side = 0; side < 2; side++) {
    threads.split(moment.rows, [&](i64 first, i64 last) {
      for (i64 r = first; r < last; r++) transform.input(isa, moment.row(r), moment.row(r));
    });
    for (i64 r = 0; r < moment.rows; r++)
      for (i64 c = 0; c < r; c++) std::swap(moment(r, c), moment(c, r));
  }
}

}  // namespace bitkerf
