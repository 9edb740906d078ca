#include "engine/session.h"

#include <algorithm>
#include <optional>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/error.h"

namespace bitkerf {
namespace {

// feed_all() computes the logits of this many bytes at a time: few joins for small vocabularies, and still only some
// tokens of a vocabulary of 262,144.
constexpr i64 kLogitBytes = 32 << 20;
constexpr i64 kPrunedChunk = 2048;  // tokens of a step at least, where tokens are pruned

// To every worker, this thread included.
void flush_subnormals(Threads& threads) {
#if defined(__x86_64__)
  threads.each([](int) { _mm_setcsr(_mm_getcsr() | _MM_FLUSH_ZERO_ON | 0x0040 /* denormals are zero */); });
#endif
}

int threads_for(int wanted) {
  if (wanted < 0 || wanted > kMaxThreads) {
    fail(Fault::usage, "{} threads; expected 1 to {}, or 0 for all cores", wanted, kMaxThreads);
  }
  return wanted > 0 ? wanted : std::clamp(cpu_info().cores, 1, kMaxThreads);
}

}  // namespace

struct Engine::State {
  std::unique_ptr<ModelFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  Threads threads;
  std::shared_ptr<Refinement> refinement;  // outlives the model
  std::unique_ptr<Model> model;
  i64 context = 0, chunk = 0, head_rows = 0;
  std::optional<Arena> arena;
  // One step's input, and what feed_all() shows: sized once.
  std::vector<Token> tokens;
  std::vector<Run> runs;
  std::vector<SequenceState*> sequences;
  std::vector<i64> wanted;
  OwnedMatrix<float> hidden, logits;

  explicit State(int thread_count) : threads(thread_count) {}
  Context working() { return {threads, *arena, chosen_isa()}; }
  void check(const Session& session, std::span<const Token> fed) const;
  void clear();
  void add(Session& session, std::span<const Token> fed, bool prompt);
  // Runs what was added; the wanted rows of `hidden` are valid afterwards.
  void step();
  void compute_head(Matrix<const float> rows, Matrix<float> out);
};

struct Session::State {
  Engine::State* engine;
  std::vector<Token> tokens;
  std::unique_ptr<SequenceState> sequence;
  Buffer<float> logits;
};

Engine::Engine(const std::string& path, const EngineOptions& options, const std::function<void(i64, i64)>& progress)
    : Engine(open_model_file(path), options, progress) {}

Engine::Engine(std::unique_ptr<ModelFile> file, const EngineOptions& options,
               const std::function<void(i64, i64)>& progress)
    : state_(std::make_unique<State>(threads_for(options.threads))) {
  if (options.chunk < 1 || options.chunk > 65536) {
    fail(Fault::usage, "{} tokens per prefill step; expected 1 to 65536", options.chunk);
  }
  State& s = *state_;
  s.file = std::move(file);
  ModelOptions model_options = options.model;
  model_options.context = options.context;
  s.refinement = options.model.refinement;
  s.model = options.load ? options.load(*s.file, model_options, s.threads, progress) : load_model(*s.file, model_options, s.threads, progress);
  if (options.flush_subnormals) flush_subnormals(s.threads);
  const ModelShape& shape = s.model->shape();
  if (s.file->metadata().has("tokenizer.ggml.model")) {
    s.tokenizer = make_tokenizer(s.file->metadata());
    if (s.tokenizer->size() > shape.vocabulary) {
      fail(Fault::file, "{}: the tokenizer has {} tokens, the model only {}", s.file->path(), s.tokenizer->size(),
           shape.vocabulary);
    }
  }
  s.context = chosen_context(options.context, shape.context);
  // A prompt's tokens are judged by the attention of their own step.
  s.chunk = std::min(options.model.prune.empty() ? options.chunk : std::max(options.chunk, kPrunedChunk), s.context);
  s.head_rows = std::clamp<i64>(kLogitBytes / (shape.vocabulary * static_cast<i64>(sizeof(float))), 1, s.chunk);
  s.arena.emplace(
      std::max(s.model->scratch(s.chunk, s.context), s.model->head_scratch(std::max(s.head_rows, s.chunk))));
  s.hidden = OwnedMatrix<float>(s.chunk, shape.width);
  auto chunk = static_cast<std::size_t>(s.chunk);
  s.tokens.reserve(chunk);
  s.runs.reserve(chunk);
  s.sequences.reserve(chunk);
  s.wanted.reserve(chunk);
}

Engine::~Engine() = default;
const Model& Engine::model() const { return *state_->model; }
const ModelFile& Engine::file() const { return *state_->file; }
Threads& Engine::threads() { return state_->threads; }
Refinement* Engine::refinement() { return state_->refinement.get(); }
i64 Engine::context() const { return state_->context; }
i64 Engine::chunk() const { return state_->chunk; }
const Tokenizer& Engine::tokenizer() const {
  if (!state_->tokenizer) fail(Fault::file, "{}: has no tokenizer (key tokenizer.ggml.model)", state_->file->path());
  return *state_->tokenizer;
}

void Engine::State::check(const Session& session, std::span<const Token> fed) const {
  CHECK_GE(fed.size(), std::size_t{1});
  CHECK(session.state_->engine == this);
  i64 all = static_cast<i64>(session.tokens().size() + fed.size());
  if (all > context) {
    fail(Fault::usage, "the text is {} tokens long ({} held and {} new), but the context holds {}", all,
         session.tokens().size(), fed.size(), context);
  }
  for (Token token : fed) {
    if (token < 0 || token >= model->shape().vocabulary) {
      fail(Fault::usage, "token {} is not one of the model's, 0 to {}", token, model->shape().vocabulary - 1);
    }
  }
}

void Engine::State::clear() {
  tokens.clear();
  runs.clear();
  sequences.clear();
  wanted.clear();
}

void Engine::State::add(Session& session, std::span<const Token> fed, bool prompt) {
  Session::State& s = *session.state_;
  runs.push_back({static_cast<i64>(tokens.size()), static_cast<i64>(fed.size()), static_cast<i64>(s.tokens.size()), prompt});
  sequences.push_back(s.sequence.get());
  tokens.insert(tokens.end(), fed.begin(), fed.end());
  s.tokens.insert(s.tokens.end(), fed.begin(), fed.end());
}

void Engine::State::step() {
  Context working_context = working();
  Batch batch{runs, static_cast<i64>(tokens.size())};
  model->forward(tokens, batch, sequences, wanted, hidden.view().sub_rows(0, static_cast<i64>(wanted.size())),
                 working_context);
}

void Engine::State::compute_head(Matrix<const float> rows, Matrix<float> out) {
  Context working_context = working();
  model->head(rows, out, working_context);
}

void Engine::feed(std::span<const Feed> feeds, Matrix<float> logits) {
  State& s = *state_;
  CHECK_EQ(logits.rows, static_cast<i64>(feeds.size()));
  CHECK_EQ(logits.cols, s.model->shape().vocabulary);
  for (std::size_t i = 0; i < feeds.size(); i++) {
    for (std::size_t j = 0; j < i; j++) CHECK(feeds[i].session != feeds[j].session);
    s.check(*feeds[i].session, feeds[i].tokens);
  }
  // Steps of at most `chunk` rows, filled in order; a long feed goes over several.
  i64 done = 0;  // feeds whose last token has been computed
  std::size_t next = 0, inside = 0;
  while (next < feeds.size()) {
    s.clear();
    while (next < feeds.size() && static_cast<i64>(s.tokens.size()) < s.chunk) {
      std::span<const Token> rest = feeds[next].tokens.subspan(inside);
      auto take = std::min(rest.size(), static_cast<std::size_t>(s.chunk) - s.tokens.size());
      s.add(*feeds[next].session, rest.first(take), true);
      inside += take;
      if (take == rest.size()) {
        s.wanted.push_back(static_cast<i64>(s.tokens.size()) - 1);
        next++;
        inside = 0;
      }
    }
    s.step();
    i64 ended = static_cast<i64>(s.wanted.size());
    if (ended > 0) s.compute_head(s.hidden.view().sub_rows(0, ended), logits.sub_rows(done, ended));
    done += ended;
  }
}

Session::Session(Engine& engine) : state_(std::make_unique<State>()) {
  state_->engine = engine.state_.get();
  state_->sequence = engine.model().new_sequence(engine.context());
  state_->tokens.reserve(static_cast<std::size_t>(engine.context()));
  state_->logits = Buffer<float>(engine.model().shape().vocabulary);
}

Session::~Session() = default;
const std::vector<Token>& Session::tokens() const { return state_->tokens; }

std::span<const float> Session::feed(std::span<const Token> tokens) {
  Engine::State& engine = *state_->engine;
  engine.check(*this, tokens);
  for (std::size_t first = 0; first < tokens.size();) {
    auto take = std::min(tokens.size() - first, static_cast<std::size_t>(engine.chunk));
    engine.clear();
    engine.add(*this, tokens.subspan(first, take), true);
    first += take;
    if (first == tokens.size()) engine.wanted.push_back(static_cast<i64>(take) - 1);
    engine.step();
  }
  engine.compute_head(engine.hidden.view().sub_rows(0, 1),
                      Matrix<float>(state_->logits.data(), 1, state_->logits.size()));
  return state_->logits.span();
}

void Session::feed_all(std::span<const Token> tokens, i64 first_visited,
                       const std::function<void(i64 index, std::span<const float> logits)>& visit) {
  Engine::State& engine = *state_->engine;
  engine.check(*this, tokens);
  if (engine.logits.rows() == 0) engine.logits = OwnedMatrix<float>(engine.head_rows, engine.model->shape().vocabulary);
  for (std::size_t first = 0; first < tokens.size();) {
    auto take = std::min(tokens.size() - first, static_cast<std::size_t>(engine.chunk));
    engine.clear();
    engine.add(*this, tokens.subspan(first, take), false);
    i64 skipped = std::clamp<i64>(first_visited - static_cast<i64>(first), 0, static_cast<i64>(take));
    for (i64 row = skipped; row < static_cast<i64>(take); row++) engine.wanted.push_back(row);
    engine.step();
    i64 rows = static_cast<i64>(engine.wanted.size());
    for (i64 row = 0; row < rows; row += engine.head_rows) {
      i64 n = std::min(engine.head_rows, rows - row);
      engine.compute_head(engine.hidden.view().sub_rows(row, n), engine.logits.view().sub_rows(0, n));
      for (i64 i = 0; i < n; i++) {
        visit(static_cast<i64>(first) + skipped + row + i, engine.logits.view().row_span(i));
      }
    }
    first += take;
  }
}

i64 Session::held() const { return state_->sequence->tokens_at_end(); }

void Session::rollback(i64 mark) {
  CHECK(mark >= 0 && mark <= this->mark());
  state_->tokens.resize(static_cast<std::size_t>(mark));
  state_->sequence->truncate(mark);
}

}  // namespace bitkerf
