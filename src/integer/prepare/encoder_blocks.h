// Floats as blocks of MXINT8 and MXINT4, and an encoder made of them.
#pragma once

#include "core/threads.h"
#include "files/model_file.h"
#include "integer/execute/encoder.h"

namespace bitkerf {

// Whether every block of 32 columns is made of multiples of a power of two by -7 to 7.
bool fits_four_bits(Matrix<const float> weights, Threads& threads);

// Nearest codes; the power of two is the least that does not clip.
BlockMatrix block_matrix(Matrix<const float> weights, int bits, Threads& threads);
BlockTable block_table(Matrix<const float> rows, int bits, Threads& threads);  // columns a multiple of 32
BlockVector block_vector(std::span<const float> values);

// Of BERT's architecture (Fault::file otherwise). A matrix that lies on MXINT4's grid already, as in a file made with
// `quantize --recipe "*=gptq/mxint4"`, stays there exactly, others become MXINT8; so do the tables of positions and types, which
// files keep in floats, with the bits of the table of tokens.
BlockEncoder make_block_encoder(const ModelFile& file, Threads& threads);

}  // namespace bitkerf
