// Text to token ids.
#include "core/error.h"
#include "files/model_file.h"
#include "files/tokenizer.h"
#include "load.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {

int run_verb_tokenize(const Options& options) {
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file->metadata());
  std::string text = read_text(options);
  Specials specials = options.special ? Specials::as_tokens : Specials::as_text;
  std::vector<Token> tokens =
      options.no_bos ? tokenizer->encode(text, specials) : tokenizer->encode_prompt(text, specials);
  if (options.json) {
    nlohmann::ordered_json pieces = nlohmann::ordered_json::array();
    for (Token token : tokens) pieces.push_back(tokenizer->piece(token, true));
    print_json({{"count", tokens.size()}, {"tokens", tokens}, {"pieces", pieces}});
    return 0;
  }
  print(fmt::format("{}\n", fmt::join(tokens, " ")));
  return 0;
}

}  // namespace bitkerf
