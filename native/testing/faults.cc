#include "testing/faults.h"

#include "tensor/status.h"

namespace kvasir::testing {

void Faults::count() {
  std::lock_guard lock(mutex_);
  ++calls_;
  if (left_ > 0 && --left_ == 0) fail(code_ == "OUT_OF_MEMORY" ? "OUT_OF_MEMORY" : "INTERNAL", "%s failed on purpose", what_);
}

Faults& op_faults() {
  static Faults faults("an op");
  return faults;
}

Faults& recording_faults() {
  static Faults faults("a recording");
  return faults;
}

Faults& record_faults() {
  static Faults faults("an event");
  return faults;
}

}  // namespace kvasir::testing
