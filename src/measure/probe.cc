#include "measure/probe.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "measure/clock.h"
#include "measure/stream.h"

namespace bitkerf {
namespace {

constexpr double kTrySeconds = 1e-3;  // of a rate: shorter than the slice that another process gets of a core
constexpr int kTries = 3;             // of a short measurement per round
constexpr int kLeastRounds = 8;
constexpr double kAgree = 0.01;

struct Measurement {
  Figure figure;
  std::function<double()> run;
  std::vector<double> rounds;

  bool lower_is_better() const { return figure.unit == "s"; }
  double better(double a, double b) const { return lower_is_better() ? std::min(a, b) : std::max(a, b); }
  void sort() { lower_is_better() ? std::sort(rounds.begin(), rounds.end()) : std::sort(rounds.rbegin(), rounds.rend()); }
  // The upper quartile: other load slows rounds down, and now and then the host of a virtual machine gives a second of
  // what it will not give again (both cores a memory channel of their own).
  std::size_t quartile() const { return rounds.size() / 4; }
  double distance(std::size_t i) const { return std::fabs(rounds[i] / rounds[quartile()] - 1); }  // of a sorted round
};

// All measurements of one path: a team per number of threads, one block of memory for all.
class Bench {
 public:
  // changing: only what ProbeWatch watches.
  Bench(Isa isa, int threads, bool changing = false) : loops_(roof_loops(isa)) {
    for (int count = 1; count < threads; count *= 2) teams_.push_back(std::make_unique<Threads>(count));
    teams_.push_back(std::make_unique<Threads>(threads));
    stream_ = std::make_unique<Stream>(isa, *teams_.back(), stream_floats());
    // Small data first and team by team: the order of the report.
    for (auto& team : teams_) add_levels(*team);
    if (changing) std::erase_if(measurements_, [](const Measurement& m) { return m.figure.name != "read.memory"; });
    if (!changing) {
      for (auto& team : teams_) add_streams(*team);
      for (auto& team : teams_) add_rates(*team);
      for (auto& team : teams_) add_clocks(*team);
    }
    for (auto& team : teams_)
      if (team->count() > 1) add("join", "s", *team, [this, &team = *team] { return join(team); });
  }

  std::vector<Figure> run(double seconds) {
    for (Measurement& m : measurements_) m.rounds.clear();
    double end = now() + seconds;
    for (int round = 0; round == 0 || (now() < end && (round < kLeastRounds || !agreed())); round++)
      for (Measurement& m : measurements_) {
        double best = m.run();
        bool long_run = m.figure.name.ends_with(".memory");
        for (int i = 1; i < (long_run ? 1 : kTries); i++) best = m.better(best, m.run());
        m.rounds.push_back(best);
        m.sort();
      }
    std::vector<Figure> figures;
    for (Measurement& m : measurements_) {
      m.figure.value = m.rounds[m.quartile()];
      m.figure.spread = m.distance(m.rounds.size() / 2);
      figures.push_back(m.figure);
    }
    return figures;
  }

 private:
  bool agreed() const {
    return std::all_of(measurements_.begin(), measurements_.end(), [](const Measurement& m) { return m.distance(0) < kAgree; });
  }

  void add(std::string name, std::string unit, Threads& team, std::function<double()> run) {
    measurements_.push_back({{std::move(name), std::move(unit), team.count(), 0, 0}, std::move(run), {}});
  }

  // The team is awake when the time starts.
  template <class Body>
  static double time(Threads& team, Body&& body) {
    team.each([](int) {});
    double start = now();
    team.each(body);
    return now() - start;
  }

  // Half of a cache that is a core's own; of a shared one at most 8 MiB in all, because virtual machines may report the
  // cache of the whole package, of which a core reaches a part.
  void add_levels(Threads& team) {
    const CpuInfo& cpu = cpu_info();
    i64 whole = 3 * stream_->floats() * static_cast<i64>(sizeof(float));
    struct Level { const char* name; i64 bytes; } levels[] = {  // per worker
        {"read.l1", cpu.l1_bytes / 2},
        {"read.l2", cpu.l2_bytes / 2},
        {"read.l3", std::min<i64>(cpu.l3_bytes / 4, 8 << 20) / team.count()},
        {"read.memory", whole / team.count()},
    };
    for (Level level : levels) {
      i64 bytes = level.bytes / 1024 * 1024;
      if (bytes < 4096 || bytes * team.count() > whole) continue;
      i64 passes = std::max<i64>(1, (128 << 20) / bytes);  // some 0.3 ms at 400 GB/s
      add(level.name, "B/s", team, [this, &team, bytes, passes, whole] {
        const auto* data = reinterpret_cast<const std::byte*>(stream_->array(0));
        bool once = bytes * team.count() > whole / 2;
        // Workers' parts are 4 KiB apart at least and lie where the worker of the largest team touched them.
        auto body = [&](int worker) { sinks_[worker % 64] += loops_.read(data + worker * bytes, bytes, once ? 1 : passes); };
        if (!once) time(team, [&](int worker) { sinks_[worker % 64] += loops_.read(data + worker * bytes, bytes, 1); });
        return static_cast<double>(bytes * team.count() * (once ? 1 : passes)) / time(team, body);
      });
    }
  }

  void add_streams(Threads& team) {
    for (int i = 0; i < kStreamLoops; i++)
      for (bool past : {false, true})
        add(fmt::format("{}{}.memory", stream_->loop(i).name, past ? "_past_cache" : ""), "B/s", team,
            [this, &team, i, past] {
              team.each([](int) {});
              return stream_->bytes(i) / stream_->seconds(i, past, team);
            });
  }

  // Units of `amount` per iteration, in runs of about kTrySeconds.
  void add_loop(std::string name, std::string unit, Threads& team, int (*loop)(i64) noexcept, double amount) {
    double start = now();
    loop(20000);
    i64 iterations = std::max<i64>(1000, static_cast<i64>(20000 * kTrySeconds / (now() - start)));
    add(std::move(name), std::move(unit), team, [this, &team, loop, amount, iterations] {
      double seconds = time(team, [&](int worker) { sinks_[worker % 64] += loop(iterations); });
      return amount * static_cast<double>(iterations) / seconds;
    });
  }

  void add_rates(Threads& team) {
    for (int i = 0; i < loops_.rate_count; i++) {
      const RateLoop& rate = loops_.rates[i];
      if ((" " + cpu_info().features + " ").find(std::string(" ") + rate.needs + (*rate.needs ? " " : "")) == std::string::npos) continue;
      add_loop(fmt::format("rate.{}", rate.name), fmt::format("{}/s", rate.unit), team, rate.run,
               static_cast<double>(rate.amount * team.count()));
    }
  }

  void add_clocks(Threads& team) {
    auto cycles = static_cast<double>(loops_.clock_cycles);
    add_loop("clock", "Hz", team, loops_.clock, cycles);
    add_loop("clock_under_load", "Hz", team, loops_.clock_under_load, cycles);
  }

  // Seconds that a parallel step costs when there is nothing to do in it.
  double join(Threads& team) {
    constexpr int kJoins = 1000;
    double start = now();
    for (int i = 0; i < kJoins; i++) team.each([&](int worker) { sinks_[worker % 64]++; });
    return (now() - start) / kJoins;
  }

  const RoofLoops& loops_;
  std::vector<std::unique_ptr<Threads>> teams_;
  std::unique_ptr<Stream> stream_;
  std::vector<Measurement> measurements_;
  alignas(64) int sinks_[64] = {};
};

}  // namespace

struct ProbeWatch::State : Bench {
  using Bench::Bench;
  std::map<std::pair<std::string, int>, std::vector<double>> last;  // values of a figure, the oldest first
};

ProbeWatch::ProbeWatch(Isa isa, int threads) : state_(std::make_unique<State>(isa, threads, true)) {}
ProbeWatch::~ProbeWatch() = default;

void ProbeWatch::refresh(Probe& probe) {
  constexpr std::size_t kLast = 7;
  for (const Figure& now : state_->run(0)) {
    std::vector<double>& last = state_->last[{now.name, now.threads}];
    last.push_back(now.value);
    if (last.size() > kLast) last.erase(last.begin());
    std::vector<double> sorted = last;
    std::sort(sorted.begin(), sorted.end());
    for (Figure& figure : probe.figures)
      if (figure.name == now.name && figure.threads == now.threads) figure.value = sorted[sorted.size() / 2];
  }
}

double Probe::value(std::string_view name, int thread_count) const {
  const Figure* found = nullptr;
  for (const Figure& figure : figures)
    if (figure.name == name && figure.threads <= thread_count && (!found || figure.threads > found->threads)) found = &figure;
  return found ? found->value : 0;
}

Probe measure_probe(Isa isa, int threads, double seconds) {
  return {probe_machine(), isa, threads, static_cast<std::int64_t>(std::time(nullptr)), Bench(isa, threads).run(seconds)};
}

}  // namespace bitkerf
