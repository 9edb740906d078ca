#include "integer/embed_texts.h"

#include <algorithm>

#include "core/cpu.h"
#include "core/error.h"
#include "integer/execute/decoder.h"
#include "integer/prepare/encoder_blocks.h"

namespace bitkerf {

Embedded embed_texts(const ModelFile& file, std::span<const std::string> texts, Threads& threads, const std::function<void(i64, i64)>& progress) {
  const BlockEncoder model = make_block_encoder(file, threads);
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file.metadata());
  if (tokenizer->size() > model.tokens.rows)
    fail(Fault::file, "{}: the tokenizer has {} tokens, the model only {}", file.path(), tokenizer->size(), model.tokens.rows);
  Embedded made{OwnedMatrix<std::int32_t>(static_cast<i64>(texts.size()), model.width), 0, model.bytes()};
  std::vector<std::vector<Token>> ids;
  for (const std::string& text : texts) {
    std::vector<Token>& tokens = ids.emplace_back(tokenizer->encode_prompt(text, Specials::as_text));
    if (tokens.empty()) fail(Fault::usage, "text {} has no token", ids.size());
    if (static_cast<i64>(tokens.size()) > model.context) {
      const Token last = tokens.back();
      tokens.resize(static_cast<std::size_t>(model.context));
      tokens.back() = last;
    }
    made.tokens += static_cast<i64>(tokens.size());
  }
  const IntegerKernels& kernels = integer_kernels(chosen_isa());
  std::vector<EncoderScratch> scratch(static_cast<std::size_t>(threads.count()));
  // A text is one worker's; some at a time, so that there is progress to show.
  const i64 all = static_cast<i64>(texts.size()), step = 16 * threads.count();
  for (i64 first = 0; first < all; first += step) {
    if (progress) progress(first, all);
    threads.each([&](int worker) {
      for (i64 t = first + worker; t < std::min(all, first + step); t += threads.count())
        run_block_encoder(model, ids[static_cast<std::size_t>(t)], kernels, scratch[static_cast<std::size_t>(worker)], made.vectors.view().row_span(t));
    });
  }
  if (progress) progress(all, all);
  return made;
}

}  // namespace bitkerf
