// tokenizer.json, read: the big tables apart from the rest, which stays JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/view.h"

namespace bitkerf {

struct TokenizerJson {
  struct Entry {
    std::string text;
    i64 id;
    double score;
  };
  nlohmann::json rest;                // everything but the two tables
  std::vector<Entry> vocabulary;      // model.vocab, in the file's order; the id is the place in a list of pairs
  bool has_scores = false;            // model.vocab is a list of [text, score]
  std::vector<std::string> merges;    // model.merges, each "left right"
};

// Throws Error{Fault::file} naming `where` when the JSON is damaged, too large, or a table has another shape.
TokenizerJson read_tokenizer_json(const std::string& where, std::string_view text);

}  // namespace bitkerf
