// Asks llama.cpp what it thinks of a text that another program wrote. Built and run by compare_llama.py.
//   llama_margins MODEL THREADS  < a line per text: ids of a prompt " : " ids written
//   > a line per written id: the id, then twice the most likely id and its lead over the written one in logits:
//     when all of the text is computed together, and when what was written is computed token by token
// Both, because llama.cpp's logits depend on how many tokens it computes at once.
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
    struct Choice {
      int best;
      float lead;
    };
    auto choice = [&](const float* logits, llama_token id) {
      const float* best = std::max_element(logits, logits + vocabulary);
      return Choice{static_cast<int>(best - logits), *best - logits[id]};
    };
    std::vector<Choice> together, alone;
    const int count = static_cast<int>(ids.size());
    llama_memory_clear(llama_get_memory(context), true);
    llama_batch batch = llama_batch_init(count, 0, 1);
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
      batch.token[i] = ids[static_cast<std::size_t>(i)];
      batch.pos[i] = i;
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = i + 1 >= static_cast<int>(written);
    }
    if (llama_decode(context, batch) != 0) return 1;
    for (std::size_t i = written; i < ids.size(); i++) {
      together.push_back(choice(llama_get_logits_ith(context, static_cast<int>(i) - 1), ids[i]));
    }
    llama_batch_free(batch);
    llama_memory_clear(llama_get_memory(context), true);
    if (llama_decode(context, llama_batch_get_one(ids.data(), static_cast<int>(written))) != 0) return 1;
    for (std::size_t i = written; i < ids.size(); i++) {
      alone.push_back(choice(llama_get_logits_ith(context, -1), ids[i]));
      if (llama_decode(context, llama_batch_get_one(&ids[i], 1)) != 0) return 1;
    }
    for (std::size_t i = 0; i < alone.size(); i++) {
      std::printf("%d %d %.6f %d %.6f\n", ids[written + i], together[i].best, together[i].lead, alone[i].best,
                  alone[i].lead);
    }
  }
}
