// Splitter: patterns run by PCRE2's just-in-time compiler on text that is known to be valid UTF-8.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <new>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/pre_tokenizers.h"
#include "files/tokenizers/utf8.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

// A pattern of a file may be written so that it backtracks without end. One match may take this many steps, plus some
// per byte that is left; all matches of a text together this much time.
constexpr std::uint32_t kMatchSteps = 1'000'000;
constexpr std::uint32_t kMatchStepsPerByte = 16;
constexpr std::chrono::seconds kMostTime{10};
constexpr std::chrono::microseconds kMostTimePerByte{5};
constexpr std::size_t kLongestPattern = 1 << 15;
constexpr std::size_t kJitStack = 1 << 20;    // bytes; what needs more is matched by the interpreter
constexpr std::uint32_t kHeap = 256 * 1024;   // KiB, of the interpreter

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

std::unique_ptr<pcre2_code, FreeCode> compile(std::string_view pattern, const std::string& where) {
  std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(pcre2_compile_context_create(nullptr));
  pcre2_set_max_pattern_length(context.get(), kLongestPattern);
  const std::string source = with_exact_white_space(pattern);
  int error = 0;
  PCRE2_SIZE at = 0;
  std::unique_ptr<pcre2_code, FreeCode> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, context.get()));
  if (!code)
    fail(Fault::file, "{}: the split pattern \"{}\" is not valid at {}: {}", where, printable(pattern), at,
         message_of(error));
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching falls back to the interpreter
  return code;
}

// What matching needs besides the pattern; one per call, as it is written to.
class Matcher {
 public:
  Matcher()
      : context_(pcre2_match_context_create(nullptr)),
        match_(pcre2_match_data_create(1, nullptr)),
        stack_(pcre2_jit_stack_create(32 * 1024, kJitStack, nullptr)),
        start_(std::chrono::steady_clock::now()) {
    if (!context_ || !match_ || !stack_) throw std::bad_alloc();
    pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
    pcre2_set_heap_limit(context_.get(), kHeap);
  }

  // The first match at or after `from`; false when there is none.
  bool next(const pcre2_code* code, std::string_view text, std::size_t from, Piece& found, const std::string& where) {
    if ((++matches_ & 1023) == 0) check_time(text.size(), where);
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const std::size_t left = std::min<std::size_t>(text.size() - from, 100'000'000);
    pcre2_set_match_limit(context_.get(), kMatchSteps + kMatchStepsPerByte * static_cast<std::uint32_t>(left));
    int result = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, match_.get(), context_.get());
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
      result = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match_.get(),
                           context_.get());
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0)
      fail(Fault::file, "{}: a split pattern fails after byte {} of a text of {} bytes: {}", where, from, text.size(),
           message_of(result));
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match_.get());
    // \K in a look-around could report a match that ends before it starts or starts before the last one ended.
    if (ends[0] < from || ends[1] < ends[0])
      fail(Fault::file, "{}: a split pattern matches backwards, expected one that matches in order", where);
    found = {static_cast<std::uint32_t>(ends[0]), static_cast<std::uint32_t>(ends[1])};
    return true;
  }

 private:
  void check_time(std::size_t bytes, const std::string& where) {
    if (std::chrono::steady_clock::now() - start_ > kMostTime + kMostTimePerByte * bytes)
      fail(Fault::file, "{}: the split patterns take more than {} s for a text of {} bytes", where,
           std::chrono::duration_cast<std::chrono::seconds>(kMostTime + kMostTimePerByte * bytes).count(), bytes);
  }

  std::unique_ptr<pcre2_match_context, FreeContext> context_;
  std::unique_ptr<pcre2_match_data, FreeMatch> match_;
  std::unique_ptr<pcre2_jit_stack, FreeStack> stack_;
  std::chrono::steady_clock::time_point start_;
  std::uint64_t matches_ = 0;
};

void add(std::vector<Piece>& pieces, std::size_t begin, std::size_t end) {
  if (begin < end) pieces.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
}

// Pieces of valid UTF-8 and of bytes that are not, in turn. `valid` says which come first.
bool split_valid(std::string_view text, std::vector<Piece>& pieces) {
  bool first_valid = true;
  std::size_t begin = 0;
  bool valid = true;
  for (std::size_t at = 0; at < text.size();) {
    const int length = utf8_length(text, at);
    if ((length > 0) != valid) {
      if (at == 0) first_valid = false;
      add(pieces, begin, at);
      begin = at;
      valid = length > 0;
    }
    at += std::max(length, 1);
  }
  add(pieces, begin, text.size());
  return first_valid;
}

// Groups of three from the right of each run of digits, in characters; `digits` finds the runs.
void split_digits(std::string_view text, const pcre2_code* digits, Matcher& matcher, const std::string& where,
                  std::size_t base, std::vector<Piece>& pieces) {
  std::size_t at = 0;
  for (Piece run; at < text.size() && matcher.next(digits, text, at, run, where); at = run.end) {
    add(pieces, base + at, base + run.begin);
    std::size_t characters = 0;
    for (std::size_t i = run.begin; i < run.end; i += utf8_length(text, i)) characters++;
    std::size_t begin = run.begin;
    for (std::size_t i = run.begin; i < run.end;) {
      i += utf8_length(text, i);
      if (--characters % 3 == 0) add(pieces, base + begin, base + i), begin = i;
    }
  }
  add(pieces, base + at, base + text.size());
}

}  // namespace

struct Splitter::Stage {
  std::unique_ptr<pcre2_code, FreeCode> code;
  bool digits_from_right = false;
};

std::string with_exact_white_space(std::string_view pattern) {
  constexpr std::string_view kSet = "\\p{Z}\\x{9}-\\x{D}\\x{85}";
  std::string result;
  bool inside = false;  // of [ ]
  for (std::size_t i = 0; i < pattern.size(); i++) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's' && inside) {
        result += kSet;
      } else if (escaped == 's' || (escaped == 'S' && !inside)) {
        result += escaped == 's' ? "[" : "[^";
        result += kSet;
        result += ']';
      } else {
        result += c;
        result += escaped;
      }
      continue;
    }
    if (c == '[' && inside && i + 1 < pattern.size() && pattern[i + 1] == ':') {
      const std::size_t end = pattern.find(":]", i);  // [:alpha:]
      if (end != std::string_view::npos) {
        result += pattern.substr(i, end + 2 - i);
        i = end + 1;
        continue;
      }
    }
    if (c == '[' && !inside) {
      inside = true;
      // A ] right after [ or [^ is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') result += pattern[i++];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') result += pattern[i++];
    } else if (c == ']') {
      inside = false;
    }
    result += pattern[i];
  }
  return result;
}

Splitter::Splitter(std::span<const std::string_view> patterns, const std::string& where) : where_(where) {
  for (std::string_view pattern : patterns) {
    const bool digits = pattern == kDigitsFromRight;
    stages_.push_back({compile(digits ? "\\p{N}+" : pattern, where), digits});
  }
}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;

void Splitter::split(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  const bool first_valid = split_valid(text, pieces);
  if (stages_.empty() || text.empty()) return;
  // Invalid runs are moved out of the way and merged back at the end: usually there are none.
  std::vector<Piece> invalid, next;
  if (pieces.size() > 1 || !first_valid) {
    std::vector<Piece> valid;
    for (std::size_t i = 0; i < pieces.size(); i++)
      ((i % 2 == 0) == first_valid ? valid : invalid).push_back(pieces[i]);
    pieces.swap(valid);
  }
  Matcher matcher;
  for (const Stage& stage : stages_) {
    next.clear();
    next.reserve(pieces.size() + text.size() / 8);
    for (const Piece& piece : pieces) {
      const std::string_view part = text.substr(piece.begin, piece.end - piece.begin);
      if (stage.digits_from_right) {
        split_digits(part, stage.code.get(), matcher, where_, piece.begin, next);
        continue;
      }
      std::size_t at = 0, from = 0;
      for (Piece found; from <= part.size() && matcher.next(stage.code.get(), part, from, found, where_);) {
        add(next, piece.begin + at, piece.begin + found.begin);
        add(next, piece.begin + found.begin, piece.begin + found.end);
        at = from = found.end;
        if (found.begin == found.end) from += found.end < part.size() ? utf8_length(part, found.end) : 1;
      }
      add(next, piece.begin + at, piece.begin + part.size());
    }
    pieces.swap(next);
  }
  if (invalid.empty()) return;
  next.clear();
  std::merge(pieces.begin(), pieces.end(), invalid.begin(), invalid.end(), std::back_inserter(next),
             [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  pieces.swap(next);
}

}  // namespace bitkerf
