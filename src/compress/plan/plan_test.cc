#include "compress/plan/plan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace bitkerf {
namespace {

TEST(Budget, Grammar) {
  EXPECT_EQ(parse_budget("64MiB").value, 64.0 * 1024 * 1024);
  EXPECT_EQ(parse_budget("0.5GB").value, 5e8);
  EXPECT_EQ(parse_budget("67108864B").value, 67108864);
  EXPECT_EQ(parse_budget("64MiB").kind, &budget_kinds::file_bytes);
  EXPECT_EQ(parse_budget("3.2bpw").kind, &budget_kinds::bits_per_weight);
  EXPECT_EQ(parse_budget("ram=128MiB").kind, &budget_kinds::resident_bytes);
  EXPECT_EQ(parse_budget("40tok/s").value, 40);
  EXPECT_EQ(parse_budget("1.2x").kind, &budget_kinds::speedup);
  Budget first = parse_budget("ttft=300ms@512");
  EXPECT_DOUBLE_EQ(first.value, 0.3);
  EXPECT_EQ(first.tokens, 512);
  EXPECT_EQ(first.text, "ttft=300ms@512");
  for (const BudgetKind* kind : budget_kind_list()) EXPECT_EQ(parse_budget(kind->example).kind, kind);
}

TEST(Budget, WhatIsNoneIsOneClearError) {
  for (const char* text : {"", "64", "64MiBs", "-3MiB", "0MiB", "nanMiB", "infMiB", "1e3MiB", "MiB", "ram=", "ram=64", "ttft=300ms", "ttft=300ms@",
                           "ttft=300ms@0", "ttft=300ms@-1", "ttft=300ms@512x", "ttft=300@512", "40tok", "x", "64 MiB", "999999999GiB", "ram=1.2x"}) {
    try {
      parse_budget(text);
      ADD_FAILURE() << "accepted '" << text << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("64MiB"), std::string::npos);
    }
  }
}

PlanProblem problem() {
  PlanProblem p{.model = "tiny", .parameters = 1000, .fixed_bytes = 100, .other_memory = 50, .fixed_decode = 1e-3, .uniform_decode = 9e-3, .harm_unit = "test", .layers = {}};
  for (int i = 0; i < 4; i++) {
    PlanLayer layer{"blk." + std::to_string(i) + ".attn_q", 250, {}};
    for (int bits = 2; bits <= 8; bits++)
      layer.candidates.push_back({"rtn/int" + std::to_string(bits), 30 * bits, (i + 1) * std::pow(4.0, -bits), bits * 5e-4, (10 - bits) * 1e-3});
    p.layers.push_back(layer);
  }
  return p;
}
PlanGoal goal(std::vector<const char*> texts) {
  PlanGoal g;
  for (const char* text : texts) g.budgets.push_back(parse_budget(text));
  return g;
}

TEST(Plan, IsFasterThanItsSourceWhereOnlyBytesAreLimited) {
  PlanProblem p = problem();
  for (PlanLayer& layer : p.layers) layer.candidates.push_back({"gptq/e8p2", 60, 1e-9, 3e-3, 1e-3});
  EXPECT_GT(make_plan(p, goal({"700B"})).seconds_decode, 12e-3);
  p.source_decode = 9e-3, p.source_bytes = 1000;
  EXPECT_LE(make_plan(p, goal({"700B"})).seconds_decode, 0.9 * 9e-3);
  EXPECT_LE(make_plan(p, goal({"950B"})).seconds_decode, 9.001e-3);
  EXPECT_GT(make_plan(p, goal({"950B"})).seconds_decode, 0.9 * 9e-3);
  p.source_decode = 1e-3;  // out of reach: then as before
  EXPECT_GT(make_plan(p, goal({"700B"})).seconds_decode, 12e-3);
  p.source_decode = 9e-3;
  EXPECT_LE(make_plan(p, goal({"700B", "200tok/s"})).seconds_decode, 1 / 200.0);
}

TEST(Plan, KeepsWithinEveryBudget) {
  PlanProblem p = problem();
  Plan plan = make_plan(p, goal({"700B"}));
  EXPECT_LE(plan.bytes, 700);
  EXPECT_GT(plan.bytes, 700 - 30);
  EXPECT_LE(make_plan(p, goal({"4.8bpw"})).bytes, 600);
  EXPECT_LE(make_plan(p, goal({"ram=700B"})).bytes, 650);
  EXPECT_LE(make_plan(p, goal({"900B", "110tok/s"})).seconds_decode, 1 / 110.0);
  EXPECT_LE(make_plan(p, goal({"1.2x"})).seconds_decode, 9e-3 / 1.2);
  Plan both = make_plan(p, goal({"700B", "ttft=20ms@512"}));
  EXPECT_LE(both.bytes, 700);
  EXPECT_LE(both.seconds_prefill, 0.020);
  // More room never harms.
  double last = 1e9;
  for (int bytes = 340; bytes <= 1100; bytes += 10) {
    double harm = make_plan(p, goal({fmt::format("{}B", bytes).c_str()})).harm;
    EXPECT_LE(harm, last * (1 + 1e-5));
    last = harm;
  }
}

TEST(Plan, FewestBytesWithinAHarm) {
  PlanProblem p = problem();
  PlanGoal g;
  g.max_divergence = 0.05;
  Plan plan = make_plan(p, g);
  EXPECT_LE(plan.harm, 0.05);
  EXPECT_GT(make_plan(p, goal({fmt::format("{}B", plan.bytes - 1).c_str()})).harm, 0.05);
}

TEST(Plan, WhatCannotBeIsRefusedNamingTheNearest) {
  PlanProblem p = problem();
  for (auto texts : {std::vector<const char*>{"300B"}, {"50B"}, {"250tok/s"}, {"900tok/s"}, {"400B", "ttft=20ms@512"}}) {
    try {
      make_plan(p, goal(texts));
      ADD_FAILURE() << texts[0];
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::budget);
      EXPECT_NE(std::string(error.what()).find("nearest feasible plan: "), std::string::npos) << error.what();
    }
  }
  try {
    make_plan(p, goal({"300B"}));
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("340 bytes"), std::string::npos) << error.what();  // 100 + 4 * 60
  }
}

TEST(Plan, EveryChoiceCanBeForced) {
  PlanProblem p = problem();
  force(p, {{"blk.1.attn_q", "rtn/int2"}});
  Plan plan = make_plan(p, goal({"1060B"}));
  EXPECT_NE(plan_text(p, plan, {}).find("blk.1.attn_q = rtn/int2 "), std::string::npos);
  EXPECT_THROW(force(p, {{"blk.1.attn_q", "rtn/int9"}}), Error);
}

TEST(Plan, SegmentsThatAreTreatedAlikeAreOneLine) {
  PlanProblem p = problem();
  const char* names[] = {"e[0:32]", "e[32:64]", "e[64:96]", "f[96:128]"};
  for (std::size_t i = 0; i < 4; i++) {
    p.layers[i].matrix = names[i];
    p.layers[i].candidates.resize(i == 2 ? 2 : 1);
    if (i == 2) p.layers[i].candidates.erase(p.layers[i].candidates.begin());
  }
  std::string text = plan_text(p, make_plan(p, {}), {});
  EXPECT_NE(text.find("e[0:64]   = rtn/int2"), std::string::npos) << text;
  EXPECT_NE(text.find("e[64:96]  = rtn/int3"), std::string::npos) << text;
  EXPECT_NE(text.find("f[96:128] = rtn/int2"), std::string::npos) << text;
}

TEST(Plan, TextSaysWhatWasChosen) {
  PlanProblem p = problem();
  PlanGoal g = goal({"700B"});
  Plan plan = make_plan(p, g);
  std::string text = plan_text(p, plan, g);
  EXPECT_NE(text.find("# budget: 700B"), std::string::npos);
  for (std::size_t i = 0; i < p.layers.size(); i++)
    EXPECT_NE(text.find(p.layers[i].matrix + " = " + p.layers[i].candidates[static_cast<std::size_t>(plan.chosen[i])].recipe + " "), std::string::npos);
  EXPECT_NE(explain(p, plan, "blk.2.attn_q").find("* rtn/int"), std::string::npos);
  std::vector<Plan> curve = plan_curve(p, 10);
  EXPECT_EQ(curve.front().bytes, 340);
  EXPECT_EQ(curve.back().bytes, 100 + 4 * 240);
  EXPECT_GE(curve.size(), 8u);
}

}  // namespace
}  // namespace bitkerf
