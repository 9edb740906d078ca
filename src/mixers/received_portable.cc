#include "mixers/received.inl"

namespace bitkerf {
void received_portable(const ReceivedTask& task) noexcept { receive(task); }
}  // namespace bitkerf
