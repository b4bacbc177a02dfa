#!/bin/sh
# The matmuls of the CUDA back end by themselves, checked and timed on the first GPU: npm run bench:gpu:matmul [-- check | stress | TYPE]. Needs nvcc.
set -e
if ! nvidia-smi >/dev/null 2>&1 || ! command -v nvcc >/dev/null; then
  echo "SKIPPED: there is no NVIDIA GPU or no nvcc here, so no matmul of the CUDA back end was checked or timed" >&2
  exit 0
fi
cd "$(dirname "$0")/../.."
mkdir -p .cache
nvcc -O3 -std=c++20 --threads 4 -gencode arch=compute_90a,code=sm_90a -I native -o .cache/matmul \
  bench/gpu/matmul.cu native/cuda/kernels/matmul_*.cu native/cuda/kernels/unpack_panels.cu native/cuda/kernels/add_norm.cu \
  native/cuda/weight.cu native/cuda/runtime.cc
.cache/matmul "$@"
if [ $# -eq 0 ] && python3 -c "import torch" 2>/dev/null; then python3 bench/gpu/peers.py matmul; fi
