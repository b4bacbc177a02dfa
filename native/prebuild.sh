#!/usr/bin/env bash
# prebuilds/PLATFORM-ARCH/kvasir.glibc.node: the addon as it is published, for every Linux with glibc 2.31 or later. Wants Debian's apt-get and
# dpkg-deb, g++ 12 or later, cmake and strip. Arguments go to cmake-js: `npm run package:prebuilds -- --CDKVASIR_CUDA=ON`.
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
# g++ looks for libraries in its own folders before the sysroot's.
libraries="-B$sysroot/usr/lib/$triplet -L$sysroot/usr/lib/gcc/$triplet/10 -L$sysroot/usr/lib/$triplet -L$sysroot/lib/$triplet"
# Settings of the last time would stay.
rm -f build/prebuild/CMakeCache.txt
npx cmake-js build --out build/prebuild --target kvasir --log-level error --parallel "$(nproc)" --CDCMAKE_SYSROOT="$sysroot" \
  --CDCMAKE_CXX_FLAGS_RELEASE="-O3 -DNDEBUG $headers" --CDCMAKE_EXE_LINKER_FLAGS="$libraries" --CDCMAKE_MODULE_LINKER_FLAGS="$libraries" "$@"
folder=prebuilds/$(node -p 'process.platform + "-" + process.arch')
mkdir -p "$folder"
strip --strip-unneeded -o "$folder/kvasir.glibc.node" build/prebuild/Release/kvasir.node
ls -l "$folder"
