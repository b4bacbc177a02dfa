// When kernels and copies ran, from CUPTI's activity records: loaded into a process by CUDA_INJECTION64_PATH, writes lines
// "start end name" (nanoseconds) to TRACE_OUT. See trace.mjs.
#include <cupti.h>

#include <cstdio>
#include <cstdlib>

namespace {

std::FILE* out = nullptr;

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* size, size_t* most_records) {
  *size = 8 << 20, *most_records = 0;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, *size));
}

void CUPTIAPI take_records(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto* kernel = reinterpret_cast<CUpti_ActivityKernel10*>(record);
      std::fprintf(out, "%llu %llu %s\n", static_cast<unsigned long long>(kernel->start), static_cast<unsigned long long>(kernel->end),
                   kernel->name);
    } else {
      const auto* copy = reinterpret_cast<CUpti_ActivityMemcpy6*>(record);
      std::fprintf(out, "%llu %llu copy\n", static_cast<unsigned long long>(copy->start), static_cast<unsigned long long>(copy->end));
    }
  }
  std::free(buffer);
}

void finish() {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  std::fclose(out);
}

}  // namespace

extern "C" int InitializeInjection() {
  const char* path = std::getenv("TRACE_OUT");
  out = path == nullptr ? nullptr : std::fopen(path, "w");
  if (out == nullptr) return 0;
  cuptiActivityRegisterCallbacks(give_buffer, take_records);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
  std::atexit(finish);
  return 1;
}
