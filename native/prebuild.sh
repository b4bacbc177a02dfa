#!/bin/sh
# What prebuildify calls in the place of node-gyp: build/Release/kvasir.node by cmake-js, whatever arguments node-gyp would get.
exec npx cmake-js rebuild --log-level error
