// Whether kernels compute what they should, wherever they may be asked to. All loops go over the tables of forms, number
// formats, encodings, kernels and instruction sets: a new row is verified without an edit here.
//
// Every case compares with reference.h: equality where integers or powers of two make all float operations exact,
// equality with the documented order of operations otherwise, and a bound of its roundings where no order is documented.
// After "Towards Robust Agentic CUDA Kernel Benchmarking, Verification, and Optimization" (robust-kbench), whose filters
// reject problems that a wrong kernel can pass: outputs near zero, inputs that do not matter, one shape.
//
// NaN and infinity in activations: every output of that token is NaN or infinite, other tokens keep their bits.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "forms/list.h"

namespace bitkerf {

// What is verified: one way to hold one number format (or block type of a file), with one encoding of activations.
struct Subject {
  const FormRow* form;
  std::string format;
  const StoredType* stored;  // or nullptr: format is a number format
  const Encoding* input;
  // Instead of form->pack: tests seed faults with it.
  std::function<std::unique_ptr<PackedLinear>(const Quantized&, const Encoding&, Threads&)> pack = {};

  // How far the levels that it multiplies with floats may be from the format's.
  double level_rounding = 0;

  std::string name() const;  // "bit_planes int4.g64 int8.g64"
};
// `full`: every pair of number format and encoding that a form takes; otherwise each of them at least once.
std::vector<Subject> kernel_subjects(bool full);

struct KernelCheck {
  std::string_view name;
  std::string_view about;
};
std::span<const KernelCheck> kernel_checks();

struct KernelCase {
  std::string kernel;  // "bit_planes/expand/avx512"
  std::string format, activation;
  std::string_view check;
  i64 compared = 0;        // outputs
  i64 zero = 0, small = 0; // of these: 0; within +-0.01
  double worst = 0;        // error in units of its bound, of those that have only a bound
  std::string wrong;       // first thing that is; empty: verified
};
struct VerifyOptions {
  int seeds = 1;
  bool full = false;  // larger shapes, every number of tokens
  std::string_view check = {};  // only this one
};
// One row per kernel, instruction set and check.
std::vector<KernelCase> verify_kernels(const Subject& subject, const VerifyOptions& options);

}  // namespace bitkerf
