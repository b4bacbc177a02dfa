#!/bin/sh
# The addons with the CUDA back end, in the place of the CPU's: npm run build:cuda [-- ARCHITECTURE...], for instance 90a; all without one.
# It needs nvcc, and takes minutes for each architecture.
set -e
list=
for architecture in "$@"; do list="$list${list:+;}$architecture-real"; done
npx cmake-js build --log-level error --parallel "$(getconf _NPROCESSORS_ONLN)" --CDKVASIR_CUDA=ON ${list:+"--CDCMAKE_CUDA_ARCHITECTURES=$list"}
