#include "engine/conversation.h"

#include <algorithm>

#include "core/error.h"

namespace bitkerf {

PromptEncoder::PromptEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (i64 i = 0; i < tokenizer.size(); i++) {
    const Token token = static_cast<Token>(i);
    if (!is_control(token) && token != tokenizer.unknown()) continue;
    std::string spelling = tokenizer.piece(token, true);
    if (!spelling.empty()) spellings_.push_back(std::move(spelling));
  }
  const auto first = [](const std::string& s) { return static_cast<unsigned char>(s[0]); };
  std::sort(spellings_.begin(), spellings_.end(), [&](const std::string& a, const std::string& b) {
    return first(a) != first(b) ? first(a) < first(b) : a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  for (const std::string& spelling : spellings_) first_of_[first(spelling) + 1]++;
  for (int i = 0; i < 256; i++) first_of_[i + 1] += first_of_[i];
}

bool PromptEncoder::is_control(Token token) const {
  return tokenizer_.is_control(token) || tokenizer_.ends_generation(token) || token == tokenizer_.bos() ||
         token == tokenizer_.eos();
}

std::vector<PromptEncoder::Spelling> PromptEncoder::find_spellings(const std::string& text,
                                                                   const std::vector<bool>& foreign) const {
  std::vector<Spelling> found;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    std::size_t next = i + 1;
    bool foreign_found = false;
    for (std::size_t s = first_of_[byte]; s < first_of_[byte + 1]; s++) {
      const std::string& spelling = spellings_[s];
      if (text.compare(i, spelling.size(), spelling) != 0) continue;
      const std::size_t end = i + spelling.size();
      const bool is_foreign = std::any_of(foreign.begin() + static_cast<std::ptrdiff_t>(i),
                                          foreign.begin() + static_cast<std::ptrdiff_t>(end), [](bool f) { return f; });
      if (is_foreign && foreign_found) continue;  // the longest was noted already
      found.push_back({i, end, is_foreign});
      foreign_found |= is_foreign;
      if (is_foreign) continue;
      next = end;  // the longest that is all the template's
      break;
    }
    i = next;
  }
  return found;
}

std::vector<Token> PromptEncoder::encode(const std::vector<PromptPart>& parts) const {
  std::string text;
  std::vector<bool> foreign;
  for (const PromptPart& part : parts) {
    text += part.text;
    foreign.insert(foreign.end(), part.text.size(), part.foreign);
  }
  const std::vector<Spelling> spellings = find_spellings(text, foreign);

  // Where a forged spelling overlaps one of the template's, every control token is encoded on its own, so that the
  // tokenizer has no choice between them.
  bool overlap = false;
  std::size_t forged_end = 0, own_end = 0;
  for (const Spelling& s : spellings) {
    overlap |= s.begin < (s.foreign ? own_end : forged_end);
    (s.foreign ? forged_end : own_end) = std::max(s.foreign ? forged_end : own_end, s.end);
  }

  // Cut at the template's control tokens. Pieces in between that hold a forged spelling are encoded as text; all
  // others stay together with the control tokens around them and go to the tokenizer in one stretch.
  std::vector<Token> tokens;
  std::size_t stretch = 0;  // begin of what is not encoded yet
  const auto encode_stretch = [&](std::size_t end) {
    if (end == stretch) return;
    const std::vector<Token> more =
        tokenizer_.encode(std::string_view(text).substr(stretch, end - stretch), Specials::as_tokens);
    tokens.insert(tokens.end(), more.begin(), more.end());
    stretch = end;
  };
  const auto encode_piece = [&](std::size_t begin, std::size_t end, bool forged) {
    if (begin == end || (!forged && !overlap)) return;
    encode_stretch(begin);
    append_text(tokens, std::string_view(text).substr(begin, end - begin));
    stretch = end;
  };
  std::size_t piece = 0;
  bool forged = false;
  for (const Spelling& s : spellings) {
    if (s.foreign) {
      forged = true;
      continue;
    }
    encode_piece(piece, s.begin, forged);
    if (overlap) encode_stretch(s.end);
    piece = s.end;
    forged = false;
  }
  encode_piece(piece, text.size(), forged);
  encode_stretch(text.size());
  return tokens;
}

void PromptEncoder::append_text(std::vector<Token>& tokens, std::string_view text) const {
  const auto add = [&](std::string_view part) {
    const std::vector<Token> more = tokenizer_.encode(part, Specials::as_text);
    tokens.insert(tokens.end(), more.begin(), more.end());
    return std::none_of(more.begin(), more.end(), [&](Token token) { return is_control(token); });
  };
  const std::size_t before = tokens.size();
  if (add(text)) return;
  // Some files give the end of a turn the type of ordinary text. Cutting every spelling after its first character
  // keeps the tokenizer from seeing it.
  tokens.resize(before);
  const std::string whole(text);
  std::size_t begin = 0;
  bool clean = true;
  for (const Spelling& s : find_spellings(whole, std::vector<bool>(whole.size(), true))) {
    std::size_t cut = s.begin + 1;
    while (cut < s.end && (static_cast<unsigned char>(whole[cut]) & 0xc0) == 0x80) cut++;
    if (cut <= begin) continue;
    clean &= add(text.substr(begin, cut - begin));
    begin = cut;
  }
  clean &= add(text.substr(begin));
  if (!clean) fail(Fault::file, "the model's tokenizer has no way to write the spelling of a control token as text");
}

namespace {

const std::string& template_of(const Metadata& metadata) {
  if (!metadata.has("tokenizer.chat_template"))
    throw Error(Fault::usage, fmt::format("{}: the model has no chat template (tokenizer.chat_template)", metadata.where()),
                "it was not trained to chat; bitkerf run continues a text");
  return metadata.text("tokenizer.chat_template");
}

}  // namespace

Conversation::Conversation(const Metadata& metadata, const Tokenizer& tokenizer)
    : template_(template_of(metadata)), encoder_(tokenizer), tokenizer_(tokenizer) {
  if (tokenizer.bos() >= 0) bos_ = tokenizer.piece(tokenizer.bos(), true);
  if (tokenizer.eos() >= 0) eos_ = tokenizer.piece(tokenizer.eos(), true);
}

Json Conversation::variables(const std::vector<Message>& messages, const Json& more) const {
  Json all = {{"messages", Json::array()}, {"add_generation_prompt", true}};
  for (const Message& message : messages) all["messages"].push_back({{"role", message.role}, {"content", message.content}});
  for (const auto& [key, value] : more.items()) all[key] = value;
  return all;
}

std::vector<Token> Conversation::prompt(const std::vector<Message>& messages, const Json& more) const {
  return prompt_of(variables(messages, more));
}

std::vector<Token> Conversation::prompt_of(Json all) const {
  all["bos_token"] = bos_;
  all["eos_token"] = eos_;
  std::vector<Token> tokens = encoder_.encode(template_.render_parts(all));
  // As llama.cpp does it: exactly one, whether or not the template writes it.
  if (tokenizer_.adds_bos() && tokenizer_.bos() >= 0 && (tokens.empty() || tokens.front() != tokenizer_.bos()))
    tokens.insert(tokens.begin(), tokenizer_.bos());
  return tokens;
}

std::string Conversation::render(const std::vector<Message>& messages, const Json& more) const {
  Json all = variables(messages, more);
  all["bos_token"] = bos_;
  all["eos_token"] = eos_;
  return template_.render(all);
}

}  // namespace bitkerf
