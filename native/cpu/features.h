#pragma once
// What this processor is and runs.
#include <string>

namespace kvasir::cpu {

bool runs_avx2();
bool runs_avx512();  // F, BW, DQ, VL and VNNI

}  // namespace kvasir::cpu
