#include <cmath>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/sampler.h"

namespace bitkerf {
namespace {

// Everything off: plain sampling from the softmax.
SamplerOptions plain() {
  return {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .typical_p = 1, .repeat_last_n = 0, .seed = 1};
}

// Which share of many draws each token gets.
std::map<Token, double> shares(const SamplerOptions& options, const std::vector<float>& logits, int draws = 40000) {
  Sampler sampler(options, static_cast<i64>(logits.size()));
  std::map<Token, double> counts;
  for (int i = 0; i < draws; i++) counts[sampler.pick(logits, {})] += 1.0 / draws;
  return counts;
}

// p, renormalised; five standard deviations of a share of 40,000 draws are at most 0.0125.
void expect_shares(const std::map<Token, double>& got, std::map<Token, double> expected) {
  double sum = 0;
  for (auto& [token, p] : expected) sum += p;
  for (auto& [token, share] : got) EXPECT_TRUE(expected.contains(token)) << "token " << token << " was drawn";
  for (auto& [token, p] : expected) {
    EXPECT_NEAR(got.contains(token) ? got.at(token) : 0, p / sum, 0.0125) << "token " << token;
  }
}

const std::vector<float> kLogits = {std::log(0.4f), std::log(0.05f), std::log(0.3f), std::log(0.2f), std::log(0.05f)};

TEST(Sampler, DrawsFromTheSoftmax) {
  expect_shares(shares(plain(), kLogits), {{0, .4}, {1, .05}, {2, .3}, {3, .2}, {4, .05}});
}

TEST(Sampler, TemperatureIsAPower) {
  SamplerOptions options = plain();
  options.temperature = 0.5;
  expect_shares(shares(options, kLogits), {{0, .16}, {1, .0025}, {2, .09}, {3, .04}, {4, .0025}});
  options.temperature = 1e-9;
  expect_shares(shares(options, kLogits), {{0, 1}});
}

TEST(Sampler, TopKKeepsK) {
  SamplerOptions options = plain();
  options.top_k = 3;
  expect_shares(shares(options, kLogits), {{0, .4}, {2, .3}, {3, .2}});
  options.top_k = 4;  // of two equal ones the first
  expect_shares(shares(options, kLogits), {{0, .4}, {2, .3}, {3, .2}, {1, .05}});
  options.top_k = 100;
  expect_shares(shares(options, kLogits), {{0, .4}, {1, .05}, {2, .3}, {3, .2}, {4, .05}});
}

TEST(Sampler, TopPKeepsTheFewestThatReachP) {
  SamplerOptions options = plain();
  options.top_p = 0.65;
  expect_shares(shares(options, kLogits), {{0, .4}, {2, .3}});
  options.top_p = 0.75;
  expect_shares(shares(options, kLogits), {{0, .4}, {2, .3}, {3, .2}});
  options.top_p = 0;
  expect_shares(shares(options, kLogits), {{0, 1}});
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  SamplerOptions options = plain();
  options.min_p = 0.6;
  expect_shares(shares(options, kLogits), {{0, .4}, {2, .3}});
  options.min_p = 1;
  expect_shares(shares(options, kLogits), {{0, 1}});
}

TEST(Sampler, TypicalKeepsWhatIsAboutAsSurprisingAsUsual) {
  // Entropy 1.39 nats; surprises 0.92, 3.0, 1.20, 1.61, 3.0: in order of distance 2, 3, 0, then the rare ones.
  SamplerOptions options = plain();
  options.typical_p = 0.45;
  expect_shares(shares(options, kLogits), {{2, .3}, {3, .2}});
  options.typical_p = 0.7;
  expect_shares(shares(options, kLogits), {{2, .3}, {3, .2}, {0, .4}});
}

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  SamplerOptions options = plain();
  options.temperature = 0;
  float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  Sampler sampler(options, 4);
  EXPECT_EQ(sampler.pick(std::vector<float>{1, 3, 3, 2}, {}), 1);
  EXPECT_EQ(sampler.pick(std::vector<float>{nan, -5, nan, -4}, {}), 3);
  EXPECT_EQ(sampler.pick(std::vector<float>{1, infinity, nan, infinity}, {}), 1);
  EXPECT_EQ(sampler.pick(std::vector<float>{nan, nan, nan, nan}, {}), 0);
  EXPECT_EQ(sampler.pick(std::vector<float>{-infinity, -infinity, -1e30f, -infinity}, {}), 2);
}

TEST(Sampler, WhatIsNotANumberIsNeverDrawn) {
  float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  expect_shares(shares(plain(), {nan, 0, -infinity, 0, nan}), {{1, .5}, {3, .5}});
  expect_shares(shares(plain(), {nan, infinity, 3}, 100), {{1, 1}});
}

TEST(Sampler, PenaltiesChangeRecentTokens) {
  SamplerOptions options = plain();
  options.temperature = 0;
  options.repeat_last_n = 3;
  std::vector<float> logits = {4, 3, -1, -2};
  std::vector<Token> history = {0, 0, 2, 0, 1};  // recent: 2, 0, 1

  options.repeat_penalty = 2;  // 2, 1.5, -2, -2
  EXPECT_EQ(Sampler(options, 4).pick(logits, history), 0);
  options.repeat_penalty = 1;
  options.frequency_penalty = 2;
  EXPECT_EQ(Sampler(options, 4).pick(logits, std::vector<Token>{0}), 1);
  EXPECT_EQ(Sampler(options, 4).pick(logits, history), 0);            // 2, 1, -3, -2
  options.repeat_last_n = -1;                                        // token 0 counts three times
  EXPECT_EQ(Sampler(options, 4).pick(logits, history), 1);           // -2, 1
  options.frequency_penalty = 0;
  options.presence_penalty = 2;                                      // once, however often
  EXPECT_EQ(Sampler(options, 4).pick(logits, history), 0);           // 2, 1
  options.repeat_last_n = 0;
  options.presence_penalty = 100;
  EXPECT_EQ(Sampler(options, 4).pick(logits, history), 0);

  options = plain();
  options.temperature = 0;
  options.repeat_last_n = -1;
  options.repeat_penalty = 10;  // a negative logit gets more negative: -20, not -0.2
  EXPECT_EQ(Sampler(options, 2).pick(std::vector<float>{-2, -3}, std::vector<Token>{0}), 1);
}

TEST(Sampler, BiasIsAdded) {
  SamplerOptions options = plain();
  options.temperature = 0;
  options.logit_bias = {{2, 5.0f}, {0, -std::numeric_limits<float>::infinity()}};
  EXPECT_EQ(Sampler(options, 3).pick(std::vector<float>{9, 1, 0}, {}), 2);
  options.logit_bias = {{3, 5.0f}};
  EXPECT_THROW(Sampler(options, 3), Error);
}

TEST(Sampler, TheSeedDecides) {
  std::vector<float> logits;
  for (int i = 0; i < 1000; i++) logits.push_back(static_cast<float>(i * 7919 % 101) / 20);
  SamplerOptions options;
  auto draw = [&](std::uint64_t seed) {
    options.seed = seed;
    Sampler sampler(options, 1000);
    std::vector<Token> tokens;
    for (int i = 0; i < 12; i++) tokens.push_back(sampler.pick(logits, tokens));
    return tokens;
  };
  EXPECT_EQ(draw(42), draw(42));
  EXPECT_NE(draw(42), draw(43));
  EXPECT_EQ(draw(42), (std::vector<Token>{803, 537, 941, 266, 133, 330, 739, 27, 165, 298, 739, 771}))
      << "pinned: the same on every machine";
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  auto expect_refused = [](auto change, std::string_view name) {
    SamplerOptions options;
    change(options);
    try {
      Sampler sampler(options, 10);
      FAIL() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  expect_refused([](SamplerOptions& o) { o.temperature = -1; }, "temperature");
  expect_refused([](SamplerOptions& o) { o.temperature = std::nan(""); }, "temperature");
  expect_refused([](SamplerOptions& o) { o.top_p = 1.5; }, "top_p");
  expect_refused([](SamplerOptions& o) { o.top_k = -1; }, "top_k");
  expect_refused([](SamplerOptions& o) { o.repeat_penalty = 0; }, "repeat_penalty");
  expect_refused([](SamplerOptions& o) { o.repeat_last_n = -2; }, "repeat_last_n");
}

}  // namespace
}  // namespace bitkerf
