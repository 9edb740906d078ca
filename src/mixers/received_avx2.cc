#include "mixers/received.inl"

namespace bitkerf {
void received_avx2(const ReceivedTask& task) noexcept { receive(task); }
}  // namespace bitkerf
