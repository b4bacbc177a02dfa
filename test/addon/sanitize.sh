#!/usr/bin/env bash
# The addon under sanitizers, with its own tests: `test/addon/sanitize.sh [address|thread|tiles] [vitest arguments]`. Not part of `npm test`:
# the build takes minutes. Leaks are left out: at process.exit() Node itself gives back nothing. `tiles` has no sanitizer but what builds for
# them have besides: AMX's instructions emulated (on processors with AVX-512 BF16), and guards behind small mappings.
set -euo pipefail
cd "$(dirname "$0")/../.."
kind=${1:-address}
[ $# -eq 0 ] || shift

modules=$PWD/node_modules
out=$PWD/build/sanitize-$kind
mkdir -p "$out"
rm -f "$out"/report.*
arguments=(-DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -g" "-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$out/build/Release")
arguments+=("-DCMAKE_JS_INC=$modules/node-api-headers/include;$modules/node-addon-api")
case $kind in
  address)
    arguments+=(-DKVASIR_SANITIZE=ON)
    libraries="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
    export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    ;;
  thread)
    export CXXFLAGS="-fsanitize=thread ${CXXFLAGS-}"
    libraries=$(g++ -print-file-name=libtsan.so)
    # Node is not compiled for it, and reports that name only Node are false: all go to files, and those that name the addon are looked for
    # below. V8's jobs of garbage collection are false, too, but begin under whatever call allocates.
    echo "race:v8::platform::" >"$out/suppressions"
    export TSAN_OPTIONS=exitcode=0:report_signal_unsafe=0:log_path=$out/report:suppressions=$out/suppressions
    ;;
  tiles)
    export CXXFLAGS="-DKVASIR_SANITIZE ${CXXFLAGS-}"
    libraries=""
    ;;
  *)
    echo "usage: test/addon/sanitize.sh [address|thread|tiles] [vitest arguments]" >&2
    exit 2
    ;;
esac

cmake -S . -B "$out/cmake" "${arguments[@]}" >/dev/null
cmake --build "$out/cmake" --parallel 2 >/dev/null
[ $# -gt 0 ] || set -- test/addon test/ops test/e2e/stories.test.ts
# node-gyp-build looks for the addon in KVASIR_PREBUILD first.
KVASIR_PREBUILD=$out LD_PRELOAD=$libraries node node_modules/vitest/vitest.mjs run --testTimeout 300000 --hookTimeout 300000 "$@"
if grep -l "kvasir" "$out"/report.* 2>/dev/null; then
  echo "these reports name the addon" >&2
  exit 1
fi
