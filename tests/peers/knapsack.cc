// For compare_knapsack.py: reads problems, writes what choose() says.
// Standard input, numbers divided by white space: items options limits; the limits (inf: none); then per item and option its
// cost and its uses. Any number of problems. Standard output: a JSON object a problem.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "compress/plan/knapsack.h"

using namespace bitkerf;

int main() {
  std::size_t items = 0, options = 0, limits = 0;
  while (std::cin >> items >> options >> limits) {
    Knapsack problem;
    auto number = [] {
      std::string word;
      std::cin >> word;
      return std::stod(word);
    };
    for (std::size_t k = 0; k < limits; k++) problem.limits.push_back(number());
    problem.items.assign(items, std::vector<Option>(options));
    for (auto& item : problem.items)
      for (Option& option : item) {
        option.cost = number();
        for (std::size_t k = 0; k < limits; k++) option.use.at(k) = number();
      }
    auto start = std::chrono::steady_clock::now();
    std::optional<Selection> found = choose(problem);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (found) std::printf("{\"cost\": %.17g, \"bound\": %.17g, \"seconds\": %.4f, \"used\": [%.17g, %.17g, %.17g]}\n", found->cost, found->bound, seconds,
                           found->used[0], found->used[1], found->used[2]);
    else std::printf("{\"cost\": null, \"seconds\": %.4f}\n", seconds);
    std::fflush(stdout);
  }
}
