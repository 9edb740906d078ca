#pragma once

#include "integer/execute/decoder.h"
#include "integer/prepare/scales.h"

namespace bitkerf {

// context: tokens that sequences may hold (tables of rotation).
IntegerDecoder build_integer_decoder(const CodedDecoder& coded, i64 context, Threads& threads);

// The same codes as floats, and an observer that rounds at the edges as the integer decoder does.
FoldedDecoder rescaled_decoder(const CodedDecoder& coded, Threads& threads);
std::unique_ptr<EdgeObserver> rounding_observer(const CodedDecoder& coded);

}  // namespace bitkerf
