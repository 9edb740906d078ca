// The tables of a byte-pair tokenizer in an eighth of their bytes. Where merge i joins the tokens l and r into the token
// first + i, which is how such tables are learned, (l, r) is all there is to say of the merge and of the token's text:
//   bitkerf.vocabulary.first   u32         the first token that a merge makes; the last is the vocabulary's last
//   bitkerf.vocabulary.texts   string array   of the tokens before it
//   bitkerf.vocabulary.left, .right   u16 or u32 array   tokens that each merge joins
//   bitkerf.vocabulary.types   u32 array   runs of tokenizer.ggml.token_type: type, count, type, count, ...
// stand for tokenizer.ggml.tokens, .merges and .token_type.
#pragma once

#include "files/metadata.h"

namespace bitkerf {

// Replaces the three keys; leaves metadata as they are when the tables are not of that kind.
void compact_vocabulary(Metadata& metadata);
// The inverse, of metadata from a file that we do not trust (Fault::file).
void expand_vocabulary(Metadata& metadata);

}  // namespace bitkerf
