#include "cpu/cpu_backend.h"

#include <system_error>

#include "cpu/kernels.h"
#include "cpu/memory.h"
#include "cpu/packed_weight.h"
#include "cpu/sample.h"
#include "quant/pack.h"
#include "tensor/status.h"

namespace kvasir::cpu {
namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const Kernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  std::unique_ptr<Buffer> allocate(size_t bytes) override { return map_memory(bytes); }

  std::unique_ptr<Weight> create_weight(DType type, int rows, int cols) override {
    auto weight = std::make_unique<PackedWeight>();
    weight->type = type;
    weight->rows = rows;
    weight->cols = cols;
    weight->panel_bytes = quant::panel_bytes(type, cols);
    weight->bytes = weight->panel_bytes * static_cast<size_t>(weight->panels());
    weight->data = arena_.allocate(weight->bytes);
    return weight;
  }

  void pack_rows(Weight& weight, int first, int count, const uint8_t* file_rows) override {
    const auto& packed = static_cast<const PackedWeight&>(weight);
    const size_t stride = size_t(packed.cols) / info(packed.type).block * info(packed.type).bytes;
    threads_.parallel((count + kPackRows - 1) / kPackRows, [&](int64_t panel, int) {
      const int row = static_cast<int>(panel) * kPackRows, rows = std::min(kPackRows, count - row);
      uint8_t* target = packed.data.get() + static_cast<size_t>(first / kPackRows + panel) * packed.panel_bytes;
      quant::pack_panel(packed.type, packed.cols, file_rows + row * stride, rows, target);
    });
  }

  void embed(const Embed& op) override { kernels_.embed(op, threads_); }
  void rmsnorm(const RmsNorm& op) override { kernels_.rmsnorm(op, threads_); }
  void matmul(const Matmul& op) override { kernels_.matmul(op, threads_, scratch_); }
  void rope(const Rope& op) override { kernels_.rope(op, threads_); }
  void append_kv(const AppendKv& op) override { kernels_.append_kv(op, threads_); }
  void attention(const Attention& op) override { kernels_.attention(op, threads_, scratch_); }
  void glu(const Glu& op) override { kernels_.glu(op, threads_); }
  void add(const Add& op) override { kernels_.add(op, threads_); }
  void sample(const Sample& op) override { sampler_.run(op, threads_); }

 private:
  const Kernels& kernels_;
  Arena arena_;
  Scratch scratch_;
  Sampler sampler_;
  Threads threads_;
};

}  // namespace

std::unique_ptr<Backend> create_backend(const std::string& isa, int threads) {
  if (threads < 1 || threads > 256) fail("INVALID_ARGUMENT", "threads is %d; 1 to 256 are right", threads);
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
