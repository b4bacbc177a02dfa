#!/bin/sh
# compute-sanitizer over three prompts on the first GPU: npm run test:gpu:sanitize [-- MODEL]. Needs `npm run build:cuda` and the toolkit.
# Without racecheck, which does not come to an end where launches overlap.
set -e
if ! nvidia-smi >/dev/null 2>&1 || ! command -v compute-sanitizer >/dev/null; then
  echo "SKIPPED: there is no NVIDIA GPU or no compute-sanitizer here, so nothing of the CUDA back end was checked" >&2
  exit 0
fi
for tool in memcheck initcheck synccheck; do
  echo "== $tool"
  compute-sanitizer --tool "$tool" --error-exitcode 1 \
    node dist/cli/main.js bench --device cuda --model "${1:-tales}" --prompt 40 --batch 3 --tokens 8 --max-context 128
done
