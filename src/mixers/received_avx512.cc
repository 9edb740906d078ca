#include "mixers/received.inl"

namespace bitkerf {
void received_avx512(const ReceivedTask& task) noexcept { receive(task); }
}  // namespace bitkerf
