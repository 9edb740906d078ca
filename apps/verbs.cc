#include "verbs.h"

namespace bitkerf {
namespace {

constexpr Verb kVerbs[] = {
    {"doctor", "Show this machine: processor, chosen paths, measured limits", "--threads --isa --json", "",
     run_verb_doctor},
    {"help", "Explain a verb", "verb --man --completion", "run", run_verb_help},
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

}  // namespace bitkerf
