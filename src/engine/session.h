// One sequence of tokens in progress: feed tokens, read logits, go back.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/model.h"

namespace bitkerf {

struct EngineOptions {
  int threads = 0;        // 0: all cores that this process may use
  i64 context = 0;        // tokens a session can hold; 0: what the model was trained for, at most 8192
  i64 chunk = 512;        // tokens per prefill step
  ModelOptions model = {};
  bool flush_subnormals = false;  // numbers below 2^-126 count as 0 (docs/timing.md)
  // What makes the model; nullptr: load_model(), which runs it in floats.
  std::function<std::unique_ptr<Model>(const ModelFile& file, const ModelOptions& options, Threads& threads,
                                       const std::function<void(i64 done, i64 all)>& progress)> load = {};
};

class Session;

// Model, tokenizer, team and scratch memory, for as many sessions as wanted; used by one thread at a time.
class Engine {
 public:
  // Errors: Fault::file, Fault::memory, Fault::usage.
  Engine(const std::string& path, const EngineOptions& options,
         const std::function<void(i64 done, i64 all)>& progress = {});
  Engine(std::unique_ptr<ModelFile> file, const EngineOptions& options,
         const std::function<void(i64 done, i64 all)>& progress = {});
  ~Engine();
  const Model& model() const;
  const Tokenizer& tokenizer() const;  // a file without one: Fault::file
  const ModelFile& file() const;
  Threads& threads();
  Refinement* refinement();  // as the options had it; nullptr: none
  i64 context() const;
  i64 chunk() const;
  // One step for several sessions at once; logits has one row per feed, that after its last token. Errors as
  // Session::feed(); then nothing is changed in any session.
  struct Feed { Session* session; std::span<const Token> tokens; };
  void feed(std::span<const Feed> feeds, Matrix<float> logits);

 private:
  friend class Session;
  struct State;
  std::unique_ptr<State> state_;
};

class Session {
 public:
  explicit Session(Engine& engine);
  ~Session();
  const std::vector<Token>& tokens() const;  // fed so far
  // Of those, the ones that the last layer remembers: fewer where a prompt was pruned.
  i64 held() const;
  // Computes the tokens (at least one), in chunks, and returns the logits after the last one (vocabulary floats, valid
  // until the next call). Too long for the context: Fault::usage that names both numbers, nothing is changed.
  std::span<const float> feed(std::span<const Token> tokens);
  // As feed(), but prunes no token, and hands over the logits after every token from `first` (an index into `tokens`) on:
  // visit(index, logits). For perplexity.
  void feed_all(std::span<const Token> tokens, i64 first,
                const std::function<void(i64 index, std::span<const float> logits)>& visit);
  // A place to come back to. rollback(mark) forgets all that was fed since.
  i64 mark() const { return static_cast<i64>(tokens().size()); }
  void rollback(i64 mark);

 private:
  friend class Engine;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitkerf
