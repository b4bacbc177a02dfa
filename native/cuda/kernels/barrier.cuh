#pragma once
// Barriers in shared memory that count arrivals and bytes (mbarrier), copies that arrive at them, and the order between kernels whose
// launches overlap. Of compute capability 9.0 (PTX ISA 8, "mbarrier", "cp.async.bulk", "griddepcontrol").
#include <cstdint>

namespace kvasir::cuda {

__device__ inline uint32_t shared_address(const void* place) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(place));
}

// Before this, a kernel touches nothing that an earlier kernel of its step writes, and writes nothing that one reads: launched early, it
// may have weights on their way and tables in shared memory while the kernel before it still runs. Every thread calls it once. (One that is
// launched only when all blocks of the kernel before have waited may work beside that one, and calls it at its end:
// matmul_prompt_bf16.cu.)
__device__ inline void wait_for_kernel_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// From now on the next kernel's blocks may take the places that this one's leave.
__device__ inline void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Both, of kernels that have nothing to do before.
__device__ inline void wait_in_turn() {
  let_next_kernel_start();
  wait_for_kernel_before();
}

// True in one lane of a warp, all of whose lanes come here.
__device__ inline bool elect() {
  uint32_t elected = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .pred one;\n"
      "elect.sync _|one, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, one;\n"
      "}"
      : "=r"(elected));
#endif
  return elected != 0;
}

__device__ inline void init_barrier(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

__device__ inline void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Writes of this thread to shared memory, before what the tensor cores or a copy read there.
__device__ inline void fence_shared_for_async() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Those of stages that bulk copies fill and so many arrivals empty, by the block's first thread; seen by all after their next barrier.
template <int stages>
__device__ inline void init_stages(uint64_t (&full)[stages], uint64_t (&empty)[stages], int arrivals) {
  if (threadIdx.x > 0) return;
  for (int stage = 0; stage < stages; ++stage) {
    init_barrier(&full[stage], 1);
    init_barrier(&empty[stage], arrivals);
  }
  fence_shared_for_async();
}

// Until the phase of this parity is complete.
__device__ inline void wait_at(uint32_t barrier, int parity) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}
__device__ inline void wait(uint64_t* barrier, int parity) {
  wait_at(shared_address(barrier), parity);
}

// Arrives, and the barrier's phase lasts until so many bytes of copies have come, too.
__device__ inline void expect_bytes_at(uint32_t barrier, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
#endif
}
__device__ inline void expect_bytes(uint64_t* barrier, uint32_t bytes) {
  expect_bytes_at(shared_address(barrier), bytes);
}

// `bytes` (a multiple of 16) from global to shared memory, at addresses that are multiples of 16. The barrier must expect them.
__device__ inline void copy_bulk_at(uint32_t to, const void* from, uint32_t bytes, uint32_t barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes),
               "r"(barrier)
               : "memory");
#endif
}
// The same of what is read once a step: it leaves L2 first, so that what all layers read again stays there, instructions among it.
__device__ inline void copy_once_at(uint32_t to, const void* from, uint32_t bytes, uint32_t barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .b64 policy;\n"
      "createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], policy;\n"
      "}" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
#endif
}
__device__ inline void copy_bulk(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  copy_bulk_at(shared_address(to), from, bytes, shared_address(barrier));
}

// The same into the same place of each block of the cluster whose bit is set in `blocks`; each block's own barrier must expect them.
__device__ inline void copy_bulk_to_blocks(void* to, const void* from, uint32_t bytes, uint64_t* barrier, uint16_t blocks) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier)), "h"(blocks)
               : "memory");
#endif
}

// Of a lane alone: 16 bytes. A warp's copies come in the order of their groups.
__device__ inline void copy_16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
}
__device__ inline void end_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// What copy_bulk does, before Hopper: by all lanes of a warp, a group.
__device__ inline void copy_by_warp(uint8_t* to, const uint8_t* from, int bytes) {
  for (int i = static_cast<int>(threadIdx.x) % 32 * 16; i < bytes; i += 512) copy_16(to + i, from + i);
  end_copies();
}
// Until at most `left` groups of the warp's copies are under way.
template <int left>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
  __syncwarp();
}

// What another block's thread has written there, and all that it had written before.
__device__ inline uint32_t load_acquired(const uint32_t* place) {
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(place) : "memory");
  return value;
}

// Bytes, a multiple of 16, from shared to global memory: begun by this thread.
__device__ inline void copy_bulk_out(void* to, const void* from, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;\ncp.async.bulk.commit_group;" ::"l"(to),
               "r"(shared_address(from)), "r"(bytes)
               : "memory");
#endif
}
// Until this thread's have been read, or are done.
template <bool read>
__device__ inline void wait_for_copies_out() {
#if __CUDA_ARCH__ >= 900
  if (read) asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
  if (!read) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
#endif
}

// All threads of a cluster, each of which arrives and then waits.
__device__ inline void arrive_at_cluster() {
#if __CUDA_ARCH__ >= 900
  __syncwarp();
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ inline void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  __syncwarp();
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ inline void sync_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}

// The address of the same place in another block of the cluster.
__device__ inline uint32_t address_in_block(const void* place, int block) {
  uint32_t address = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(place)), "r"(block));
#endif
  return address;
}
// Arrives at another block's barrier. Of what this thread read there is nothing to release: no cluster-wide fence, which costs more than a
// chunk.
__device__ inline void arrive_in_block(uint64_t* barrier, int block) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(address_in_block(barrier, block)) : "memory");
#endif
}
__device__ inline float load_from_block(const float* place, int block) {
  float value = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(address_in_block(place, block)) : "memory");
#endif
  return value;
}
__device__ inline float2 load_from_block(const float2* place, int block) {
  float2 value = {};
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(value.x), "=f"(value.y) : "r"(address_in_block(place, block)) : "memory");
#endif
  return value;
}

}  // namespace kvasir::cuda
