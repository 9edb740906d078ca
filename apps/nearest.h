// Unknown names answer with the known ones.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace bitkerf {

// How many insertions, deletions, replacements and swaps of neighbours turn one into the other.
int edit_distance(std::string_view a, std::string_view b);

// "did you mean 'x'?" with the known name that is nearest, or `otherwise` when none is near.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> known, std::string otherwise = {});

}  // namespace bitkerf
