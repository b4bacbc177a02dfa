#include "testing/faults.h"

#include "tensor/status.h"

namespace kvasir::testing {

void Faults::count() {
  std::lock_guard lock(mutex_);
  if (left_ > 0 && --left_ == 0) throw Error(code_ == "OUT_OF_MEMORY" ? "OUT_OF_MEMORY" : "INTERNAL", "an op failed on purpose");
}

Faults& faults() {
  static Faults faults;
  return faults;
}

}  // namespace kvasir::testing
