#!/bin/sh
# Attention of the CUDA back end by itself, checked and timed on the first GPU: npm run bench:gpu:attention [-- check | time | HEAD_SIZE]. Needs nvcc.
set -e
if ! nvidia-smi >/dev/null 2>&1 || ! command -v nvcc >/dev/null; then
  echo "SKIPPED: there is no NVIDIA GPU or no nvcc here, so no attention of the CUDA back end was checked or timed" >&2
  exit 0
fi
cd "$(dirname "$0")/../.."
mkdir -p .cache
nvcc -O3 -std=c++20 --threads 4 -gencode arch=compute_90a,code=sm_90a -I native -o .cache/attention \
  bench/gpu/attention.cu native/cuda/kernels/attention*.cu native/cuda/kernels/qk_rope_append.cu native/cuda/runtime.cc
.cache/attention "$@"
if [ "${1:-time}" = time ] && python3 -c "import torch" 2>/dev/null; then python3 bench/gpu/peers.py attention; fi
