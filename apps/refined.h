// What --refine has multiplied, for people and programs.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "forms/product_study/refine.h"

namespace bitkerf {

nlohmann::ordered_json products_json(const Refinement& refinement);
std::string products_text(const Refinement& refinement);  // a line

}  // namespace bitkerf
