#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>

#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/evaluate.h"
#include "engine/session.h"
#include "models/tiny_models.h"

namespace {
std::atomic<long> allocations{0};
}  // namespace

// Counts what the whole program allocates.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace bitkerf {
namespace {

struct Subject {
  std::string name, path;
  i64 context;
  bool big;
};

// The tiny models, and SmolLM2 and Gemma where they have been fetched.
std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (const TinyModel& tiny : kTinyModels) all.push_back({tiny.name, tiny_model_path(tiny), tiny.context, false});
  for (const char* variable : {"BITKERF_CACHE", "HOME"}) {
    const char* base = std::getenv(variable);
    if (!base) continue;
    for (const char* folder : {"", "/.cache/bitkerf", "/.cache/peers/models"}) {
      std::string path = std::string(base) + folder + "/SmolLM2-135M-Instruct.Q4_1.gguf";
      if (std::filesystem::exists(path)) {
        all.push_back({"SmolLM2", path, 1024, true});
        return all;
      }
    }
  }
  return all;
}

std::vector<Token> some_tokens(i64 count, i64 vocabulary, std::uint64_t seed) {
  std::vector<Token> tokens;
  for (i64 i = 0; i < count; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    tokens.push_back(static_cast<Token>((seed >> 33) % static_cast<std::uint64_t>(vocabulary)));
  }
  return tokens;
}

std::vector<float> copy(std::span<const float> logits) { return {logits.begin(), logits.end()}; }
bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

struct Loaded {
  Engine engine;
  i64 vocabulary, length;
  explicit Loaded(const Subject& subject, int threads, i64 chunk, ModelOptions model = {})
      : engine(subject.path, {.threads = threads, .context = subject.context, .chunk = chunk, .model = model}),
        vocabulary(engine.model().shape().vocabulary),
        length(subject.big ? 50 : engine.context() - 8) {}
};

TEST(Engine, ChunksAndThreadsDoNotChangeABit) {
  for (const Subject& subject : subjects()) {
    SCOPED_TRACE(subject.name);
    std::map<i64, std::vector<std::vector<float>>> expected;  // by length: after the prompt, and after four more tokens
    for (int threads : {2, 1}) {
      for (i64 chunk : {512, 64, 7, 1}) {
        SCOPED_TRACE(fmt::format("{} threads, chunks of {}", threads, chunk));
        Loaded loaded(subject, threads, chunk);
        // Small steps of the big model take long: the long prompt goes only in big ones.
        for (i64 length : subject.big ? std::vector<i64>{60, 600} : std::vector<i64>{loaded.length}) {
          if (length == 600 && chunk < (threads == 1 ? 512 : 64)) continue;
          std::vector<Token> prompt = some_tokens(length, loaded.vocabulary, 5);
          Session session(loaded.engine);
          std::vector<std::vector<float>> logits{copy(session.feed(prompt))};
          for (Token token : {3, 1, 4, 15}) logits.push_back(copy(session.feed({&token, 1})));
          if (expected[length].empty()) expected[length] = logits;
          for (std::size_t i = 0; i < logits.size(); i++)
            ASSERT_TRUE(same_bits(logits[i], expected[length][i])) << "logits " << i;
        }
      }
    }
  }
}

TEST(Engine, ABatchOfEightIsEightAlone) {
  for (const Subject& subject : subjects()) {
    SCOPED_TRACE(subject.name);
    Loaded loaded(subject, 2, 96);
    constexpr std::size_t kSessions = 8;
    std::vector<std::vector<Token>> prompts;
    std::vector<std::vector<float>> alone, alone_next;
    for (std::size_t i = 0; i < kSessions; i++) {
      i64 length = i == 3 ? 1 : std::min<i64>(loaded.length, 50) - static_cast<i64>(i) * 3;
      prompts.push_back(some_tokens(length, loaded.vocabulary, i));
      Session session(loaded.engine);
      alone.push_back(copy(session.feed(prompts.back())));
      Token next = static_cast<Token>(i + 5);
      alone_next.push_back(copy(session.feed({&next, 1})));
    }
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<Engine::Feed> feeds;
    for (std::size_t i = 0; i < kSessions; i++) {
      sessions.push_back(std::make_unique<Session>(loaded.engine));
      feeds.push_back({sessions.back().get(), prompts[i]});
    }
    OwnedMatrix<float> logits(kSessions, loaded.vocabulary);
    loaded.engine.feed(feeds, logits.view());  // steps of 96 rows: prompts are cut in the middle
    for (std::size_t i = 0; i < kSessions; i++) {
      EXPECT_TRUE(same_bits(logits.view().row_span(static_cast<i64>(i)), alone[i])) << i;
      EXPECT_EQ(sessions[i]->tokens(), prompts[i]);
    }
    std::vector<Token> next(kSessions);
    for (std::size_t i = 0; i < kSessions; i++) {
      next[i] = static_cast<Token>(i + 5);
      feeds[i].tokens = {&next[i], 1};
    }
    loaded.engine.feed(feeds, logits.view());
    for (std::size_t i = 0; i < kSessions; i++) {
      EXPECT_TRUE(same_bits(logits.view().row_span(static_cast<i64>(i)), alone_next[i])) << i;
    }
  }
}

TEST(Engine, RollbackRestoresEveryBit) {
  for (const Subject& subject : subjects()) {
    SCOPED_TRACE(subject.name);
    Loaded loaded(subject, 2, 512);
    i64 length = std::min<i64>(loaded.length, 50);
    std::vector<Token> prompt = some_tokens(length, loaded.vocabulary, 1), other = some_tokens(8, loaded.vocabulary, 2);
    Session session(loaded.engine);
    session.feed(std::span(prompt).first(static_cast<std::size_t>(length - 5)));
    i64 mark = session.mark();
    std::vector<float> expected = copy(session.feed(std::span(prompt).last(5)));
    for (i64 again = 0; again < 2; again++) {
      session.rollback(mark);
      EXPECT_EQ(session.mark(), mark);
      session.feed(other);
      session.rollback(mark);
      EXPECT_TRUE(same_bits(session.feed(std::span(prompt).last(5)), expected));
    }
    session.rollback(0);
    EXPECT_TRUE(session.tokens().empty());
    EXPECT_TRUE(same_bits(session.feed(prompt), expected));
  }
}

TEST(Engine, PrunedTokensAreLeftOutOfLaterLayers) {
  for (const TinyModel& tiny : kTinyModels) {
    SCOPED_TRACE(tiny.name);
    const Subject subject{tiny.name, tiny_model_path(tiny), tiny.context, false};
    auto options = [](std::vector<PruneStep> steps) {
      ModelOptions model;
      model.prune = std::move(steps);
      return model;
    };
    if (std::string_view(tiny.name) == "mistral" || std::string_view(tiny.name) == "phi3" || std::string_view(tiny.name).starts_with("gemma")) {
      EXPECT_THROW(Loaded(subject, 1, 512, options({{0.5, 0}})), Error);  // windows
      continue;
    }
    EXPECT_THROW(Loaded(subject, 1, 512, options({{0.5, 2}})), Error);  // the last layer
    Loaded plain(subject, 2, 512), whole(subject, 2, 512, options({{1.0, 0}, {1.0, 1}})), pruned(subject, 2, 512, options({{0.6, 0}, {0.5, 1}})),
        alone(subject, 1, 512, options({{0.6, 0}, {0.5, 1}}));
    if (plain.engine.context() < 100) continue;
    std::vector<Token> prompt = some_tokens(90, plain.vocabulary, 5), more = some_tokens(6, plain.vocabulary, 6), other = some_tokens(38, plain.vocabulary, 7);
    Session a(plain.engine), b(whole.engine), c(pruned.engine), d(alone.engine);
    const std::vector<float> want = copy(a.feed(prompt)), after = copy(a.feed({more.data(), 1}));
    EXPECT_TRUE(same_bits(want, b.feed(prompt)));
    EXPECT_TRUE(same_bits(after, b.feed({more.data(), 1})));
    EXPECT_EQ(b.held(), 91);

    const std::vector<float> less = copy(c.feed(prompt));
    EXPECT_FALSE(same_bits(want, less));
    EXPECT_TRUE(same_bits(less, d.feed(prompt)));
    EXPECT_EQ(c.held(), 54);  // fewer than 64 are left for the second step, which keeps them all
    EXPECT_EQ(c.tokens().size(), 90u);
    // What comes behind: one by one, together, and again.
    std::vector<std::vector<float>> one_by_one;
    for (Token token : more) one_by_one.push_back(copy(c.feed({&token, 1})));
    d.feed_all(more, 0, [&](i64 i, std::span<const float> logits) { EXPECT_TRUE(same_bits(logits, one_by_one[static_cast<std::size_t>(i)])) << i; });
    EXPECT_EQ(d.held(), 60);
    c.rollback(92);
    EXPECT_EQ(c.held(), 56);
    for (std::size_t i = 2; i < more.size(); i++) EXPECT_TRUE(same_bits(c.feed({&more[i], 1}), one_by_one[i])) << i;
    // Inside the prompt the tokens that stayed come back, in order.
    c.rollback(4);
    EXPECT_EQ(c.held(), 4);
    c.rollback(0);
    EXPECT_TRUE(same_bits(c.feed(prompt), less));
    // In one step with another, which is too short to be pruned.
    c.rollback(0);
    Session e(pruned.engine);
    OwnedMatrix<float> logits(2, pruned.vocabulary);
    Engine::Feed feeds[] = {{&e, other}, {&c, prompt}};
    pruned.engine.feed(feeds, logits.view());
    EXPECT_TRUE(same_bits(logits.view().row_span(1), less));
    EXPECT_EQ(e.held(), 38);
  }
}

TEST(Engine, FeedAllShowsWhatFeedingOneByOneShows) {
  Subject subject = subjects()[0];
  Loaded loaded(subject, 1, 10);
  std::vector<Token> prompt = some_tokens(37, loaded.vocabulary, 9);
  std::vector<std::vector<float>> expected;
  Session one_by_one(loaded.engine), all(loaded.engine);
  for (Token token : prompt) expected.push_back(copy(one_by_one.feed({&token, 1})));
  i64 next = 13;
  all.feed_all(prompt, 13, [&](i64 index, std::span<const float> logits) {
    EXPECT_EQ(index, next++);
    EXPECT_TRUE(same_bits(logits, expected[static_cast<std::size_t>(index)])) << index;
  });
  EXPECT_EQ(next, 37);
}

TEST(Engine, TooLongIsAnErrorThatNamesBothNumbersAndChangesNothing) {
  Subject subject = subjects()[0];
  Engine engine(subject.path, {.threads = 1, .context = 40});
  Session session(engine), second(engine);
  std::vector<Token> prompt = some_tokens(30, 100, 1);
  session.feed(prompt);
  auto expect_refused = [&](auto feed) {
    try {
      feed();
      FAIL() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      EXPECT_NE(std::string(error.what()).find("60"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("40"), std::string::npos) << error.what();
    }
    EXPECT_EQ(session.mark(), 30);
    EXPECT_EQ(second.mark(), 0);
  };
  expect_refused([&] { session.feed(prompt); });
  expect_refused([&] {
    OwnedMatrix<float> logits(2, engine.model().shape().vocabulary);
    Engine::Feed feeds[] = {{&second, prompt}, {&session, prompt}};
    engine.feed(feeds, logits.view());
  });
  Token wrong = 100000;
  EXPECT_THROW(session.feed({&wrong, 1}), Error);
  wrong = -1;
  EXPECT_THROW(session.feed({&wrong, 1}), Error);
  session.feed(std::span(prompt).first(10));  // to the brim
  EXPECT_THROW(session.feed(std::span(prompt).first(1)), Error);
  EXPECT_THROW(Engine(subject.path, {.threads = 1, .context = 129}), Error);  // trained for 128
  EXPECT_THROW(Engine(subject.path, {.threads = -1}), Error);
  EXPECT_THROW(Engine(subject.path, {.threads = 1, .chunk = 0}), Error);
}

TEST(Engine, TokensAfterTheFirstAllocateNothing) {
  for (const Subject& subject : subjects()) {
    SCOPED_TRACE(subject.name);
    Loaded loaded(subject, 2, 512);
    Session session(loaded.engine);
    session.feed(some_tokens(40, loaded.vocabulary, 1));
    Token token = 5;
    session.feed({&token, 1});
    long before = allocations.load();
    for (int i = 0; i < 10; i++) session.feed({&token, 1});
    EXPECT_EQ(allocations.load() - before, 0);
  }
}

// The window of the tokens is that of llama-perplexity: scored by hand here, from logits of one token at a time.
TEST(Evaluate, ScoresTheSecondHalfOfEachWindow) {
  for (const Subject& subject : subjects()) {
    if (!subject.big) continue;
    Engine engine(subject.path, {.context = 64});
    std::vector<Token> text = some_tokens(50, engine.model().shape().vocabulary, 3);
    double sum = 0;
    for (std::size_t window : {0, 16, 32}) {
      Session session(engine);
      for (std::size_t i = 0; i < 15; i++) {
        std::span<const float> logits = session.feed({&text[window + i], 1});
        if (i < 8) continue;
        double all = 0;
        for (float logit : logits) all += std::exp(static_cast<double>(logit));
        sum += std::log(all) - logits[static_cast<std::size_t>(text[window + i + 1])];
      }
    }
    Evaluation result = evaluate(engine, text, {.window = 16});
    EXPECT_EQ(result.windows, 3);
    EXPECT_EQ(result.tokens, 21);
    EXPECT_NEAR(std::log(result.perplexity), sum / 21, 1e-6);
    EXPECT_EQ(evaluate(engine, text, {.window = 16, .windows = 2}).tokens, 14);
    Evaluation same = evaluate(engine, text, {.window = 16}, &engine);
    EXPECT_EQ(same.perplexity, result.perplexity);
    EXPECT_NEAR(same.reference_perplexity, result.perplexity, 1e-4 * result.perplexity);
    EXPECT_LT(same.kld_mean, 1e-5);
    EXPECT_EQ(same.same_top, 1);
    EXPECT_THROW(evaluate(engine, text, {.window = 65}), Error);
    EXPECT_THROW(evaluate(engine, text, {.window = 51}), Error);
    return;
  }
  GTEST_SKIP() << "SmolLM2 has not been fetched";
}

}  // namespace
}  // namespace bitkerf
