// The verbs' functions, one page each; the table is in verbs.cc. Each returns the exit code.
#pragma once

#include "options.h"

namespace bitkerf {

int run_verb_run(const Options& options);
int run_verb_chat(const Options& options);
int run_verb_tokenize(const Options& options);
int run_verb_info(const Options& options);
int run_verb_eval(const Options& options);
int run_verb_embed(const Options& options);
int run_verb_bench(const Options& options);
int run_verb_quantize(const Options& options);
int run_verb_plan(const Options& options);
int run_verb_compress(const Options& options);
int run_verb_compare(const Options& options);
int run_verb_report(const Options& options);
int run_verb_calibrate(const Options& options);
int run_verb_tune(const Options& options);
int run_verb_compare_formats(const Options& options);
int run_verb_allocate(const Options& options);
int run_verb_bench_kernels(const Options& options);  // bench --kernels
int run_verb_bench_sweep(const Options& options);    // bench --sweep
int run_verb_bench_fit(const Options& options);      // bench --fit
int run_verb_verify(const Options& options);
int run_verb_doctor(const Options& options);
int run_verb_help(const Options& options);

}  // namespace bitkerf
