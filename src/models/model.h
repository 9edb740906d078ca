// A language model that is ready to run: tokens in, logits out.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "files/model_file.h"
#include "files/tokenizer.h"
#include "forms/product_study/refine.h"
#include "mixers/batch.h"
#include "mixers/mixer.h"
#include "models/prune.h"

namespace bitkerf {

struct ModelShape {
  std::string architecture;   // "llama", "gemma3", ...
  std::string name;           // general.name, may be empty
  i64 layers = 0, width = 0, vocabulary = 0;
  i64 context = 0;            // that it was trained for
  i64 parameters = 0;         // weights in all tensors
  i64 weight_bytes = 0;       // read per decoded token (all linears, head included, embedding table not)
  double macs_per_token = 0;  // multiply-adds of all linears except the head
  double head_macs = 0;
};

// What a model remembers of one sequence: a state per layer.
class SequenceState {
 public:
  // Layers from `first_layer` on (to the next one's) hold the tokens at these positions alone, ascending.
  struct Pruned {
    i64 first_layer;
    std::vector<i64> positions;  // as many may be added as a sequence can hold, without allocation
  };
  explicit SequenceState(std::vector<std::unique_ptr<MixerState>> layers, std::vector<Pruned> pruned = {})
      : layers_(std::move(layers)), pruned_(std::move(pruned)) {}
  MixerState* layer(i64 i) const { return layers_[static_cast<std::size_t>(i)].get(); }
  i64 tokens() const { return layers_.empty() ? 0 : layers_[0]->tokens(); }
  // That the last layer holds.
  i64 tokens_at_end() const { return layers_.empty() ? 0 : layers_.back()->tokens(); }
  std::vector<i64>& pruned(std::size_t i) { return pruned_[i].positions; }
  void truncate(i64 tokens) noexcept;
  i64 bytes_per_token() const { i64 n = 0; for (auto& l : layers_) n += l->bytes_per_token(); return n; }

 private:
  std::vector<std::unique_ptr<MixerState>> layers_;
  std::vector<Pruned> pruned_;
};

struct ModelOptions {
  int read_bits = 0;  // of matrices kept as planes, only the top ones (0: all)
  CacheType cache = CacheType::int16;
  std::string form =
      {};  // forces one form for every matrix ("dense" is the float path); empty: the fastest of each type
  // 8-bit activations as two nibbles, thresholds by matrix; nullptr: as they are. Outlives the model.
  std::shared_ptr<Refinement> refinement = {};
  // Tokens of prompts that later layers leave out; layers are the model's.
  std::vector<PruneStep> prune = {};
  // Tokens that sequences will hold: some models rotate differently when it is long. 0: as chosen_context() says.
  i64 context = 0;
};
// What `requested` tokens of context mean for a model trained for `trained`: 0 asks for the default, which is at most
// 8192 (a cache for all of a long model's context would surprise); more than it was trained for is Fault::usage.
i64 chosen_context(i64 requested, i64 trained);

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelShape& shape() const = 0;
  virtual std::unique_ptr<SequenceState> new_sequence(i64 max_tokens) const = 0;
  // One step. tokens: batch.tokens ids, all in [0, vocabulary). sequences[i] belongs to batch.runs[i].
  // wanted: rows of the batch, ascending. hidden row j (wanted.size() x width) is what head() wants of batch row
  // wanted[j]: after the last norm.
  // Takes at most scratch(batch.tokens, max_tokens) bytes of context.arena.
  virtual void forward(std::span<const Token> tokens, const Batch& batch, std::span<SequenceState* const> sequences,
                       std::span<const i64> wanted, Matrix<float> hidden, Context& context) const noexcept = 0;
  virtual i64 scratch(i64 tokens, i64 max_tokens) const = 0;
  // hidden (n, width) to logits (n, vocabulary). A call of its own, because the logits of many tokens are big.
  virtual void head(Matrix<const float> hidden, Matrix<float> logits, Context& context) const noexcept = 0;
  virtual i64 head_scratch(i64 n) const = 0;
};

// Builds the model that the file describes; unknown architectures answer with the known ones (Fault::file).
// Progress (may be empty) is told the bytes done and in all.
std::unique_ptr<Model> load_model(const ModelFile& file, const ModelOptions& options, Threads& threads,
                                  const std::function<void(i64 done, i64 all)>& progress = {});

}  // namespace bitkerf
