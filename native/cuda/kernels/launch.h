#pragma once
// Launches that may begin while the kernel before them ends (programmatic dependent launch): every kernel calls wait_for_kernel_before().
#include <algorithm>
#include <array>
#include <atomic>

#include "cuda/runtime.h"

namespace kvasir::cuda {

struct Grid {
  dim3 blocks;
  int threads;
  size_t shared = 0;  // bytes, dynamic
  int cluster = 1;    // blocks, along x
};

// A number of each device, found when it is first asked for.
class OfDevice {
 public:
  template <class Find>
  int get(const Find& find) {
    int device = 0;
    check(cudaGetDevice(&device), "the device");
    std::atomic<int>& known = known_.at(device);
    int number = known.load(std::memory_order_relaxed);
    if (number == 0) known.store(number = find(), std::memory_order_relaxed);
    return number;
  }

 private:
  std::array<std::atomic<int>, 256> known_ = {};  // 0: not yet
};

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "the device");
  check(cudaDeviceGetAttribute(&value, attribute, device), "the device's attributes");
  return value;
}

// The first number of the current device's compute capability.
inline int device_generation() {
  return device_attribute(cudaDevAttrComputeCapabilityMajor);
}

// Whether the current device has what Hopper brought and later ones have, too: clusters, bulk copies that arrive at barriers, launches that
// overlap.
inline bool is_hopper_or_later() {
  return device_generation() >= 9;
}

// Whether it has wgmma, which Hopper alone has.
inline bool has_wgmma() {
  return device_generation() == 9;
}

// The current device's multiprocessors.
inline int processors() {
  return device_attribute(cudaDevAttrMultiProcessorCount);
}

// Shared memory that a block of the current device may have.
inline size_t most_shared() {
  return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

// Lets a kernel have so many bytes of dynamic shared memory. What it was let have before stays: recorded steps have launches of other sizes.
template <class Kernel>
void allow_shared(const char* name, Kernel* kernel, size_t bytes) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), name);
  if (bytes <= static_cast<size_t>(attributes.maxDynamicSharedSizeBytes)) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), name);
}

// Blocks that all multiprocessors can hold at once.
template <class Kernel>
int resident_blocks(Kernel* kernel, int threads, size_t shared) {
  int blocks = 0;
  allow_shared("a kernel's shared memory", kernel, shared);
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared), "a kernel's occupancy");
  return std::max(1, blocks * processors());
}

struct Launching {
  cudaLaunchConfig_t config = {};
  cudaLaunchAttribute attributes[2] = {};

  template <class Kernel>
  Launching(const char* name, Kernel* kernel, const Grid& grid, cudaStream_t stream) {
    if (grid.shared > 48 << 10) allow_shared(name, kernel, grid.shared);
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {static_cast<unsigned>(grid.cluster), 1, 1};
    config.gridDim = grid.blocks;
    config.blockDim = dim3(grid.threads);
    config.dynamicSmemBytes = grid.shared;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = !is_hopper_or_later() ? 0 : grid.cluster > 1 ? 2 : 1;
  }
  Launching(const Launching&) = delete;
};

// Clusters that all multiprocessors can hold at once.
template <class Kernel>
int resident_clusters(const char* name, Kernel* kernel, Grid grid) {
  grid.blocks = dim3(grid.cluster);
  const Launching launching(name, kernel, grid, nullptr);
  int clusters = 0;
  check(cudaOccupancyMaxActiveClusters(&clusters, kernel, &launching.config), name);
  return std::max(1, clusters);
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Grid& grid, cudaStream_t stream, const Arguments&... arguments) {
  const Launching launching(name, kernel, grid, stream);
  check(cudaLaunchKernelEx(&launching.config, kernel, static_cast<Parameters>(arguments)...), name);
}

}  // namespace kvasir::cuda
