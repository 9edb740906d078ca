#include <utility>

#include "forms/packed.h"

#include "forms/lanes_portable.h"

#include "forms/int_tile.inl"

#include "forms/int_tiles.inl"

namespace bitkerf {
const TileSet& int_tiles_portable(TileKind kind) { return kTiles.of(kind); }
}  // namespace bitkerf
