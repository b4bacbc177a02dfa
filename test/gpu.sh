#!/bin/sh
# The end-to-end tests on the first GPU: npm run test:gpu [-- vitest's arguments]. Needs `npm run build:cuda` before, and no toolkit.
set -e
if ! nvidia-smi >/dev/null 2>&1; then
  echo "SKIPPED: there is no NVIDIA GPU here, so nothing of the CUDA back end was tested" >&2
  exit 0
fi
npx vitest run --config vitest.gpu.config.ts "$@"
