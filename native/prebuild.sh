#!/usr/bin/env bash
# prebuilds/PLATFORM-ARCH/kvasir.glibc.node: the addon as it is published, for every Linux with glibc 2.31 or later. Wants Debian's apt-get and
# dpkg-deb, g++ 12 or later, cmake and strip; with --cuda, which puts the CUDA back end into the same binary, nvcc.
#   npm run package:prebuilds [-- --cuda [ARCHITECTURE...]]   for instance --cuda 90a; without one all, some minutes each
#
# A binary asks for the newest glibc of what it was made with, and that includes the archives of libstdc++ and libgcc that become part of it.
# So headers and libraries are Debian 11's. The compiler is this machine's, and with it speed and bits of the kernels.
set -euo pipefail
cd "$(dirname "$0")/.."
native/sysroot.sh
sysroot=$PWD/build/sysroot
triplet=$(uname -m)-linux-gnu # as Debian calls it, whatever this machine's system is
# A g++ that isn't Debian's looks into no folder of the triplet by itself.
headers="-nostdinc++ -isystem $sysroot/usr/include/c++/10 -isystem $sysroot/usr/include/$triplet/c++/10 -idirafter $sysroot/usr/include/$triplet"
# g++ looks for libraries in its own folders before the sysroot's, which CMake doesn't name where it links code of CUDA.
libraries="--sysroot=$sysroot -B$sysroot/usr/lib/$triplet -L$sysroot/usr/lib/gcc/$triplet/10 -L$sysroot/usr/lib/$triplet -L$sysroot/lib/$triplet"
settings=(--CDCMAKE_SYSROOT="$sysroot" --CDCMAKE_CXX_FLAGS_RELEASE="-O3 -DNDEBUG $headers" --CDCMAKE_EXE_LINKER_FLAGS="$libraries"
  --CDCMAKE_MODULE_LINKER_FLAGS="$libraries")
if [ "${1-}" = --cuda ]; then
  # nvcc hands the host compiler what stands behind -Xcompiler, with commas for spaces; CMake tells it nothing of the sysroot.
  host="--sysroot=$sysroot $headers"
  settings+=(--CDKVASIR_CUDA=ON --CDCMAKE_CUDA_FLAGS="-Xcompiler=${host// /,}")
  architectures=("${@:2}")
  if [ $# -gt 1 ]; then settings+=(--CDCMAKE_CUDA_ARCHITECTURES="$(IFS=';' && echo "${architectures[*]/%/-real}")"); fi
elif [ $# -gt 0 ]; then
  echo "prebuild.sh: the argument is $1; expected --cuda or none" >&2
  exit 2
fi
# Settings of the last time would stay.
rm -f build/prebuild/CMakeCache.txt
npx cmake-js build --out build/prebuild --target kvasir --log-level error --parallel "$(nproc)" "${settings[@]}"
folder=prebuilds/$(node -p 'process.platform + "-" + process.arch')
mkdir -p "$folder"
strip --strip-unneeded -o "$folder/kvasir.glibc.node" build/prebuild/Release/kvasir.node
ls -l "$folder"
