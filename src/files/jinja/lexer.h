// Cuts a template into text and the tokens of its tags, with Jinja's rules for white space as `transformers` sets
// them: the newline after a block is dropped (trim_blocks), so are blanks between a line's start and a block
// (lstrip_blocks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/jinja/run.h"

namespace bitkerf::jinja {

enum class TokenKind { data, block_begin, block_end, variable_begin, variable_end, name, string, integer, number, sign, end };

struct Token {
  TokenKind kind;
  Position at;
  std::string text;  // of names, numbers and signs
  Text literal;      // of strings and data
};

[[noreturn]] void fail_at(Position at, const std::string& message);
std::vector<Token> cut_into_tokens(std::string_view source);

}  // namespace bitkerf::jinja
