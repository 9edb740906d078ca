// A file that takes as long as the one that recipes would make, in a second instead of minutes: every matrix in the same
// format and form, with random weights. For measuring the speed of a plan before anything is quantized.
#pragma once

#include <string>

#include "compress/plan/matrices.h"
#include "compress/recipe.h"
#include "core/threads.h"
#include "files/model_file.h"

namespace bitkerf {

// Writes `out` (temporary file, then renamed); as many bytes as quantize_model() would write by these recipes, which are those of a
// plan: rows of a line lie side by side, no rule chooses parameters.
void write_stand_in(const ModelFile& source, const ModelMatrices& matrices, const RecipeBook& recipes, const std::string& out, Threads& threads);

}  // namespace bitkerf
