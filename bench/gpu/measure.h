#pragma once
// What the benchmarks of single kernels share: memory of the device, and the time of a launch.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cuda/runtime.h"

namespace kvasir::cuda {

template <class Element>
std::unique_ptr<DeviceBuffer> upload(const std::vector<Element>& from) {
  auto buffer = std::make_unique<DeviceBuffer>(from.size() * sizeof(Element));
  check(cudaMemcpy(buffer->address(), from.data(), from.size() * sizeof(Element), cudaMemcpyHostToDevice), "upload");
  check(cudaDeviceSynchronize(), "upload");
  return buffer;
}

template <class Element>
std::vector<Element> download(const DeviceBuffer& buffer, size_t count) {
  std::vector<Element> to(count);
  check(cudaMemcpy(to.data(), buffer.address(), count * sizeof(Element), cudaMemcpyDeviceToHost), "download");
  return to;
}

// Microseconds of a launch: a graph of some, launched six times, the median of the last five. `launch(i)` queues the i-th.
template <class Launch>
double time_launches(const Launch& launch, int launches, cudaStream_t stream) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  launch(0);  // takes the memory that it needs, which a launch that is recorded can't
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < launches; ++i) launch(i);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<float> times;
  for (int turn = 0; turn < 6; ++turn) {
    float ms = 0;
    check(cudaEventRecord(begin, stream), "event");
    check(cudaGraphLaunch(executable, stream), "graph");
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "graph");
    check(cudaEventElapsedTime(&ms, begin, end), "event");
    if (turn > 0) times.push_back(ms * 1000 / static_cast<float>(launches));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  std::ranges::sort(times);
  return times[times.size() / 2];
}

// Runs a benchmark with the command's first argument, or an empty one; says what failed. The exit status.
inline int run_benchmark(int (*benchmark)(const std::string& what), int count, char** arguments) {
  try {
    return benchmark(count > 1 ? arguments[1] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace kvasir::cuda
