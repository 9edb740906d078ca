#include "measure/probe.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "measure/stream.h"

namespace bitkerf {
namespace {

TEST(Stream, AllPathsComputeWhatTheBenchmarkSays) {
  for (int count : {1, 2, 3}) {
    Threads threads(count);
    for (const IsaRow& row : isas()) {
      if (!runs(row.isa)) continue;
      Stream stream(row.isa, threads, 7 * Stream::kBlock);
      for (bool past_cache : {false, true}) EXPECT_TRUE(stream.right(past_cache, threads)) << row.name << count << past_cache;
    }
  }
}

TEST(Probe, HasEveryFigureOfEveryPathAndNumberOfThreads) {
  for (const IsaRow& row : isas()) {
    if (!runs(row.isa)) continue;
    Probe probe = measure_probe(row.isa, 2, 0);
    for (int threads : {1, 2}) {
      for (const char* name : {"read.l1", "read.memory", "triad.memory", "rate.int8_dot", "rate.f32_fma", "rate.binary_dot",
                               "rate.expand_4bit", "clock", "clock_under_load"}) {
        if (std::string(name) == "read.l1" && cpu_info().l1_bytes == 0) continue;
        EXPECT_GT(probe.value(name, threads), 1e8) << row.name << " " << name;
        EXPECT_LT(probe.value(name, threads), 1e15) << row.name << " " << name;
      }
    }
    EXPECT_GT(probe.value("join", 2), 0);
    EXPECT_EQ(probe.value("join", 1), 0);
    EXPECT_EQ(probe.value("read.memory", 64), probe.value("read.memory", 2));
    EXPECT_EQ(probe.value("unknown", 2), 0);
  }
}

TEST(Probe, WatchRefreshesMemoryAndJoinsOnly) {
  Probe probe = measure_probe(Isa::portable, 2, 0);
  for (Figure& figure : probe.figures) figure.value = 1;
  ProbeWatch watch(Isa::portable, 2);
  watch.refresh(probe);
  for (const Figure& figure : probe.figures)
    if (figure.name == "read.memory" || figure.name == "join") EXPECT_NE(figure.value, 1) << figure.name << figure.threads;
    else EXPECT_EQ(figure.value, 1) << figure.name;
}

TEST(Probe, TextHoldsAllOfIt) {
  Probe probe{"a machine", Isa::avx2, 3, 12345, {{"read.l1", "B/s", 1, 1.0 / 3, 0.125}, {"join", "s", 3, 1e-7, 0}}};
  Probe again = probe_from_text(to_text(probe));
  EXPECT_EQ(again.machine, probe.machine);
  EXPECT_EQ(again.isa, probe.isa);
  EXPECT_EQ(again.threads, probe.threads);
  EXPECT_EQ(again.measured_at, probe.measured_at);
  ASSERT_EQ(again.figures.size(), 2u);
  EXPECT_EQ(again.figures[0].value, 1.0 / 3);
  EXPECT_EQ(again.figures[0].spread, 0.125);
  EXPECT_EQ(again.figures[1].name, "join");
  EXPECT_EQ(again.figures[1].unit, "s");
  EXPECT_EQ(again.figures[1].threads, 3);
}

TEST(Probe, DamagedTextIsAFaultOfTheFile) {
  std::string text = to_text({"m", Isa::portable, 1, 0, {{"clock", "Hz", 1, 2.0, 0}}});
  auto refused = [](const std::string& damaged) {
    try {
      probe_from_text(damaged);
      return false;
    } catch (const Error& e) {
      return e.fault() == Fault::file;
    }
  };
  EXPECT_FALSE(refused(text));
  for (std::size_t i = 0; i + 2 < text.size(); i++) EXPECT_TRUE(refused(text.substr(0, i))) << i;
  auto changed = [&](std::string_view from, std::string_view to) {
    std::string t = text;
    return t.replace(t.find(from), from.size(), to);
  };
  EXPECT_TRUE(refused(changed("2.0", "-2.0")));
  EXPECT_TRUE(refused(changed("2.0", "\"2.0\"")));
  EXPECT_TRUE(refused(changed("portable", "sse")));
  EXPECT_TRUE(refused(changed("\"version\": ", "\"version\": 9")));
}

TEST(Probe, IsKeptAndMeasuredAgainWhenDamagedOrAsked) {
  std::string folder = fmt::format("{}/probe_test_{}", testing::TempDir(), getpid());
  std::filesystem::remove_all(folder);
  std::string file = folder + "/" + probe_key(Isa::portable, 1) + ".json";
  Probe first = load_probe(folder, Isa::portable, 1, false, 0);
  ASSERT_TRUE(std::filesystem::exists(file));
  Probe second = load_probe(folder, Isa::portable, 1, false, 0);
  EXPECT_EQ(to_text(second), to_text(first));

  std::ofstream(file) << "{";
  EXPECT_EQ(load_probe(folder, Isa::portable, 1, false, 0).figures.size(), first.figures.size());
  Probe other = first;
  other.machine = "another";
  std::ofstream(file) << to_text(other);
  EXPECT_EQ(load_probe(folder, Isa::portable, 1, false, 0).machine, probe_machine());
  other = first;
  other.figures[0].value = 1;
  std::ofstream(file) << to_text(other);
  EXPECT_EQ(load_probe(folder, Isa::portable, 1, false, 0).figures[0].value, 1);
  EXPECT_NE(load_probe(folder, Isa::portable, 1, true, 0).figures[0].value, 1);
  std::filesystem::remove_all(folder);
  EXPECT_FALSE(load_probe("/proc/no such folder", Isa::portable, 1, false, 0).figures.empty());
}

}  // namespace
}  // namespace bitkerf
