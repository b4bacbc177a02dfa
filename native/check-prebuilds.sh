#!/bin/sh
# npm runs this before it packs: a package without a binary would install and then run nowhere.
cd "$(dirname "$0")/.." || exit 1
for platform in linux-x64; do
  file=prebuilds/$platform/kvasir.glibc.node
  if [ ! -f "$file" ]; then
    echo "kvasir: $file is missing; expected what 'npm run package:prebuilds' makes" >&2
    exit 1
  fi
done
