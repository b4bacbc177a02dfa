#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "cpu/kernels.h"
#include "cpu/memory.h"
#include "cpu/packed_weight.h"
#include "cpu/slots.h"
#include "quant/pack.h"
#include "tensor/status.h"

namespace kvasir::cpu {
namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const Kernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  std::string processor() const override { return processor_name(); }

  Activations activations(Compute) const override {
    // Logits of 32 rows: the output matrix is read once for that many, and they stay in a cache until they are sampled.
    return {.residual = DType::F32, .input = DType::F32, .output = DType::F32, .logit_rows = 32};
  }

  std::unique_ptr<Buffer> allocate(size_t bytes) override { return map_memory(bytes); }

  Matrix create_weight(DType type, Compute compute, int rows, int cols) override {
    auto weight = std::make_unique<PackedWeight>();
    weight->type = type;
    weight->compute = compute;
    weight->rows = rows;
    weight->cols = cols;
    weight->panel_bytes = quant::panel_bytes(type, cols);
    weight->bytes = weight->panel_bytes * static_cast<size_t>(weight->panels());
    weight->data = arena_.allocate(weight->bytes);
    return weight;
  }

  std::unique_ptr<Slots> create_slots(const SlotLimits& limits) override {
    return std::make_unique<CpuSlots>(limits, threads_, kernels_.sample);
  }

  std::span<uint8_t> stage(size_t bytes) override {
    if (staging_.size() < bytes) staging_.resize(bytes);
    return {staging_.data(), bytes};
  }

  void upload(Buffer& buffer, std::span<const uint8_t> staged) override {
    if (!staged.empty()) std::memcpy(buffer.address(), staged.data(), staged.size());
  }

  void pack_rows(Weight& weight, int first, int count, std::span<const uint8_t> staged) override {
    const auto& packed = static_cast<const PackedWeight&>(weight);
    const size_t stride = size_t(packed.cols) / info(packed.type).block * info(packed.type).bytes;
    threads_.parallel((count + kPackRows - 1) / kPackRows, [&](int64_t panel, int) {
      const int row = static_cast<int>(panel) * kPackRows, rows = std::min(kPackRows, count - row);
      uint8_t* target = packed.data.get() + static_cast<size_t>(first / kPackRows + panel) * packed.panel_bytes;
      quant::pack_panel(packed.type, packed.cols, staged.data() + row * stride, rows, target);
    });
  }

  void run(const Op& op) override { kernels_.run(op, {threads_, scratch_}); }

 private:
  const Kernels& kernels_;
  Arena arena_;
  Scratch scratch_;
  std::vector<uint8_t> staging_;
  Threads threads_;
};

}  // namespace

std::unique_ptr<Backend> create_backend(const std::string& isa, int threads) {
  if (threads < 1 || threads > 256) fail("INVALID_ARGUMENT", "threads is %d; expected 1 to 256", threads);
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (isa != kernels->isa) {
      names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
      continue;
    }
    try {
      return std::make_unique<CpuBackend>(*kernels, threads);
    } catch (const std::system_error& error) {
      fail("OUT_OF_MEMORY", "%d threads could not be started: %s", threads, error.what());
    }
  }
  fail("UNSUPPORTED_DEVICE", "instruction set %s is not one that this processor runs (%s)", isa.c_str(), names.c_str());
}

}  // namespace kvasir::cpu
