// Asks llama.cpp what it thinks of a text that another program wrote. Built and run by compare_llama.py.
//   llama_margins MODEL THREADS  < a line per text: ids of a prompt " : " ids written
//   > a line per written id: the id, the most likely id, the most likely one's lead over the written one in logits
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

int main(int, char** arguments) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model* model = llama_model_load_from_file(arguments[1], llama_model_default_params());
  if (!model) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = 2048;
  params.n_threads = params.n_threads_batch = std::atoi(arguments[2]);
  llama_context* context = llama_init_from_model(model, params);
  if (!context) return 1;
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<llama_token> ids;
    std::size_t written = 0;
    std::istringstream in(line);
    for (std::string word; in >> word;) {
      if (word == ":") written = ids.size();
      else ids.push_back(std::atoi(word.c_str()));
    }
    llama_memory_clear(llama_get_memory(context), true);
    llama_batch batch = llama_batch_init(static_cast<int>(ids.size()), 0, 1);
    batch.n_tokens = static_cast<int>(ids.size());
    for (int i = 0; i < batch.n_tokens; i++) {
      batch.token[i] = ids[static_cast<std::size_t>(i)];
      batch.pos[i] = i;
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0) return 1;
    for (std::size_t i = written; i < ids.size(); i++) {
      const float* logits = llama_get_logits_ith(context, static_cast<int>(i) - 1);
      const float* best = std::max_element(logits, logits + vocabulary);
      std::printf("%d %d %.6f\n", ids[i], static_cast<int>(best - logits), *best - logits[ids[i]]);
    }
    llama_batch_free(batch);
  }
}
