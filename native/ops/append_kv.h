#pragma once
// append_kv: writes the step's keys and values into the sequences' pages
//
//   k, v  [T, Hkv, D]  float32 -> the cache's type
//   token t of row b, at position p, goes to place p mod P of the page that holds p
//
// Bytes: T * 2 * Hkv * D read and written once; limited by memory.
#include "ops/backend.h"
#include "ops/kv_cache.h"

namespace kvasir {

struct AppendKv {
  const float* k;
  const float* v;
  Rows rows;
  PageTables tables;
  KvLayer cache;
};

}  // namespace kvasir
