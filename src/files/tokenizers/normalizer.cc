#include "files/tokenizers/normalizer.h"

#include <cstdlib>
#include <new>

#include <utf8proc.h>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/utf8.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

std::string mapped(std::string_view valid, int options) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()), static_cast<utf8proc_ssize_t>(valid.size()),
                   &result, static_cast<utf8proc_option_t>(options));
  if (length == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  CHECK_GE(length, 0);
  std::string text(reinterpret_cast<const char*>(result), static_cast<std::size_t>(length));
  std::free(result);
  return text;
}

template <class F>
std::string each_code(std::string_view valid, F&& append) {
  std::string result;
  result.reserve(valid.size());
  for (std::size_t at = 0; at < valid.size();) {
    const int length = utf8_length(valid, at);
    append(result, utf8_decode(valid, at, length));
    at += length;
  }
  return result;
}

std::string nfc(std::string_view valid) { return mapped(valid, UTF8PROC_STABLE | UTF8PROC_COMPOSE); }
std::string nfd(std::string_view valid) { return mapped(valid, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE); }
std::string nfkc(std::string_view valid) { return mapped(valid, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT); }
std::string nfkd(std::string_view valid) {
  return mapped(valid, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}
std::string lowercase(std::string_view valid) {
  return each_code(valid, [](std::string& result, std::int32_t code) { utf8_append(result, lowercase_of(code)); });
}
std::string strip_accents(std::string_view valid) {
  return each_code(valid, [](std::string& result, std::int32_t code) {
    if (!is_mark(code)) utf8_append(result, code);
  });
}

struct NamedStep {
  std::string_view name;
  std::string (*step)(std::string_view);
};
constexpr NamedStep kSteps[] = {{"nfc", nfc},   {"nfd", nfd},           {"nfkc", nfkc},
                                {"nfkd", nfkd}, {"lowercase", lowercase}, {"strip_accents", strip_accents}};

}  // namespace

Normalizer::Normalizer(const Metadata& metadata) {
  const std::vector<std::string>* names = metadata.texts("bitkerf.tokenizer.normalizers");
  if (!names) return;
  for (const std::string& name : *names) {
    Step step = nullptr;
    for (const NamedStep& row : kSteps)
      if (row.name == name) step = row.step;
    if (!step)
      fail(Fault::file,
           "{}: bitkerf.tokenizer.normalizers has \"{}\", expected nfc, nfd, nfkc, nfkd, lowercase or strip_accents",
           metadata.where(), printable(name));
    steps_.push_back(step);
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    for (int length; end < text.size() && (length = utf8_length(text, end)) > 0;) end += length;
    std::string valid(text.substr(at, end - at));
    for (Step step : steps_) valid = step(valid);
    result += valid;
    for (; end < text.size() && utf8_length(text, end) == 0; end++) result += text[end];
    at = end;
  }
  return result;
}

bool is_white_space(std::int32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  const utf8proc_category_t category = utf8proc_category(code);
  return code == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}
bool is_control_code(std::int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CS ||
         category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CN;
}
bool is_punctuation(std::int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}
bool is_symbol(std::int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
}
bool is_mark(std::int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}
bool is_nonspacing_mark(std::int32_t code) { return utf8proc_category(code) == UTF8PROC_CATEGORY_MN; }
std::int32_t lowercase_of(std::int32_t code) { return utf8proc_tolower(code); }
std::string decomposed(std::string_view valid) { return nfd(valid); }

}  // namespace bitkerf
