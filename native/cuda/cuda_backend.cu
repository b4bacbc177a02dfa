#include "cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <map>

#include "cuda/cuda_slots.h"
#include "cuda/fused_ops.h"
#include "cuda/runtime.h"
#include "cuda/stream.h"
#include "cuda/weight.h"

namespace kvasir::cuda {
namespace {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device) : stream_(device) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "the device's properties");
    name_ = properties.name;
  }
  ~CudaBackend() override {
    cudaStreamSynchronize(stream_.get());
    for (const auto& [key, graph] : graphs_) cudaGraphExecDestroy(graph);
  }

  void enter_thread() noexcept override { stream_.enter_thread(); }

  std::string processor() const override { return name_; }
  Activations activations(Compute compute) const override {
    return {.residual = DType::F32,
            .input = compute == Compute::F32 ? DType::F32 : DType::BF16,
            .output = DType::F32,
            .logit_rows = kLogitRows};
  }
  Limits limits() const override { return {.norm_cols = kMostNormCols, .head_size = kMostHeadSize}; }

  std::unique_ptr<Buffer> allocate(size_t bytes) override { return std::make_unique<DeviceBuffer>(bytes); }

  Matrix create_weight(DType type, Compute compute, int rows, int cols) override { return cuda::create_weight(type, compute, rows, cols); }

  std::unique_ptr<Slots> create_slots(const SlotLimits& limits) override {
    reserve_scales(std::max(limits.step.tokens, kLogitRows));
    if (!split_) split_ = std::make_unique<DeviceBuffer>(SplitSums::kBytes);
    return std::make_unique<CudaSlots>(limits, stream_, kLogitRows);
  }

  std::span<uint8_t> stage(size_t bytes) override {
    staged_.resize(bytes);
    return staged_;
  }
  // From pageable memory: the call returns when the driver has taken the bytes.
  void upload(Buffer& buffer, std::span<const uint8_t> staged) override { copy(buffer.address(), staged); }
  void pack_rows(Weight& weight, int first, int count, std::span<const uint8_t> staged) override {
    if (staged.size() > raw_bytes_) {
      raw_.reset();
      raw_bytes_ = 0;  // as long as it can't be had
      raw_ = std::make_unique<DeviceBuffer>(staged.size());
      raw_bytes_ = staged.size();
    }
    copy(raw_->address(), staged);
    cuda::pack_rows(static_cast<const DeviceWeight&>(weight), first, count, static_cast<const uint8_t*>(raw_->address()), stream_.get());
  }

  void run(const Op& op) override {
    if (fused_) return fused_->run(op);
    std::visit([this](const auto& each) { cuda::run(each, stream_.get()); }, op);
  }

  bool replay(int part, const StepInputs& step, const std::function<void()>& body) override {
    if (step.tokens > CudaSlots::kMostPadded) {
      run_fused(body, &scratch_);
      return false;
    }
    const auto key = std::make_pair(part, &step);
    auto found = graphs_.find(key);
    const bool is_new = found == graphs_.end();
    if (is_new) found = graphs_.emplace(key, capture(body)).first;
    check(cudaGraphLaunch(found->second, stream_.get()), "launching a graph");
    return is_new;
  }

  Event record() override { return stream_.record(); }
  void abandon() noexcept override { stream_.abandon(); }
  void wait(Event event) override { stream_.wait(event); }
  bool done(Event event) const override { return stream_.done(event); }

 private:
  static constexpr int kLogitRows = 64;

  void reserve_scales(int tokens) {
    const size_t bytes = floats_of_scales(tokens, kMostScaledCols) * sizeof(float);
    if (bytes <= scale_bytes_) return;
    scales_.push_back(std::make_unique<DeviceBuffer>(bytes));
    scale_bytes_ = bytes;
  }

  // `scratch`: none while launches are recorded, which can't take memory.
  void run_fused(const std::function<void()>& body, Scratch* scratch) {
    fused_.emplace(stream_.get(), static_cast<float*>(scales_.back()->address()), MatmulMemory{SplitSums(split_->address()), scratch});
    try {
      body();
      fused_->finish();
    } catch (...) {
      fused_.reset();
      throw;
    }
    fused_.reset();
  }

  void copy(void* to, std::span<const uint8_t> from) {
    check(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice, stream_.get()), "copying to the device");
    check(cudaStreamSynchronize(stream_.get()), "copying to the device");
  }

  cudaGraphExec_t capture(const std::function<void()>& body) {
    check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "capturing a step");
    cudaGraph_t graph = nullptr;
    try {
      run_fused(body, nullptr);
    } catch (...) {
      if (cudaStreamEndCapture(stream_.get(), &graph) == cudaSuccess) cudaGraphDestroy(graph);
      cudaGetLastError();  // of a capture that a failure has ended already: no launch after it is to blame
      throw;
    }
    check(cudaStreamEndCapture(stream_.get(), &graph), "capturing a step");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "instantiating a graph");
    return executable;
  }

  std::string name_;
  std::vector<uint8_t> staged_;
  std::unique_ptr<DeviceBuffer> raw_;  // rows of the file on their way to their place
  size_t raw_bytes_ = 0;
  std::vector<std::unique_ptr<DeviceBuffer>> scales_;  // the last, the largest, is used; recorded steps may have the ones before
  size_t scale_bytes_ = 0;
  std::unique_ptr<DeviceBuffer> split_;
  Scratch scratch_;
  std::map<Recorded, cudaGraphExec_t> graphs_;
  Stream stream_;
  std::optional<FusedOps> fused_;  // while a step's ops come
};

__global__ void probe() {}

// On a thread of its own, so that the caller's device stays what it is: to set it back would take a context on that device, too.
template <class Work>
auto aside(const Work& work) {
  return std::async(std::launch::async, work).get();
}

// Whether the build has machine code or PTX for the device, which becomes the current one.
cudaError_t make_current(int device) {
  cudaError_t status = cudaSetDevice(device);
  cudaFuncAttributes attributes;
  if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, probe);
  cudaGetLastError();
  return status;
}

}  // namespace

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  cudaGetLastError();
  return count;
}

std::optional<int64_t> free_bytes(int device) {
  if (device < 0 || device >= device_count()) return {};
  return aside([device]() -> std::optional<int64_t> {
    size_t free = 0, total = 0;
    if (make_current(device) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) return {};
    return static_cast<int64_t>(free);
  });
}

std::unique_ptr<Backend> create_backend(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) fail("UNSUPPORTED_DEVICE", "no CUDA device can be used: %s", cudaGetErrorString(status));
  if (device < 0 || device >= count) fail("UNSUPPORTED_DEVICE", "device cuda:%d does not exist; expected one below %d", device, count);
  return aside([device]() -> std::unique_ptr<Backend> {
    if (const cudaError_t usable = make_current(device); usable != cudaSuccess) {
      fail("UNSUPPORTED_DEVICE", "device cuda:%d cannot be used by this build: %s", device, cudaGetErrorString(usable));
    }
    return std::make_unique<CudaBackend>(device);
  });
}

}  // namespace kvasir::cuda
