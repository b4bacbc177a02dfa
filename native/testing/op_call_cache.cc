// qk_rope_append and attention: ops on the paged cache.
#include <algorithm>
#include <vector>

#include "engine/batch.h"
#include "testing/op_call_args.h"
#include "testing/op_call_ops.h"

namespace kvasir::testing {
namespace {

struct Cache {
  KvLayer layer;
  int64_t pages;
};

// Keys or values of all pages, with `stride` elements from a page to the next.
View read_pages(const Args& args, const char* name, const char* stride_name, DType type, int page_elements, int64_t& pages) {
  const auto bytes = args.any_array<uint8_t>(name);
  const int stride = args.integer(stride_name, page_elements, kMostSize, page_elements);
  const size_t size = static_cast<size_t>(element_bytes(type));
  if (reinterpret_cast<uintptr_t>(bytes.data()) % size != 0) fail("INVALID_ARGUMENT", "%s is not aligned to its elements", name);
  pages = std::min(pages, static_cast<int64_t>(bytes.size() / (static_cast<size_t>(stride) * size)));
  return {bytes.data(), type, stride};
}

// args.cache: { type, kvHeads, headSize, pageSize, k, kStride, v, vStride }; k and v are bytes.
Cache read_cache(const Args& call_args) {
  const Args args = call_args.object("cache");
  std::vector<const char*> types;
  for (DType type : kCacheTypes) types.push_back(kvasir::info(type).name);
  const DType type = kCacheTypes[args.choice("type", types)];
  const int heads = args.integer("kvHeads", 1, 1024), D = args.integer("headSize", 1, 4096), P = args.integer("pageSize", 16, 4096);
  if (P % 16 != 0) fail("INVALID_ARGUMENT", "pageSize is %d; expected a multiple of 16", P);
  const size_t page_elements = elements({heads, D, P});
  if (page_elements > size_t(kMostSize)) fail("INVALID_ARGUMENT", "a page has %zu elements; expected at most %d", page_elements, kMostSize);
  int64_t pages = kMostSize;
  const View k = read_pages(args, "k", "kStride", type, static_cast<int>(page_elements), pages);
  const View v = read_pages(args, "v", "vStride", type, static_cast<int>(page_elements), pages);
  return {{k, v, heads, D, P}, pages};
}

// The cache group of args, checked for all rows.
int read_group(const Args& args, const Step& step, const Cache& cache, int window) {
  const int group = args.integer("group", 0, static_cast<int>(step.tables.size()) - 1, 0);
  for (int row = 0; row < step.batch.row_count; ++row) check_pages(step.batch, group, row, {window, cache.layer.page_size, cache.pages});
  return group;
}

// Weights of all heads or, where args.eachHead, of each: none where they are undefined.
View read_head_norm(const Args& args, const char* name, int heads, int head_size) {
  if (args.flag("eachHead")) return read_optional_view(args, name, heads, head_size);
  View view = read_optional_view(args, name, 1, head_size);
  view.stride = 0;
  return view;
}

}  // namespace

double call_qk_rope_append(const Call& call) {
  const Args& args = call.args;
  const Step step = read_step(args);
  const Cache cache = read_cache(args);
  const int T = step.inputs.tokens, D = cache.layer.head_size, heads = args.integer("queryHeads", 1, 4096);
  const int pairs = args.integer("pairs", 0, D / 2), kv_width = cache.layer.kv_heads * D;
  const View frequencies = read_view(args, "frequencies", 1, pairs);
  return run_op(call, QkRopeAppend{.step = &step.inputs,
                                   .q = read_view(args, "q", T, heads * D),
                                   .k = read_view(args, "k", T, kv_width),
                                   .v = read_view(args, "v", T, kv_width),
                                   .q_norm = read_head_norm(args, "qNorm", heads, D),
                                   .k_norm = read_head_norm(args, "kNorm", cache.layer.kv_heads, D),
                                   .norm = read_norm(args),
                                   .rope = {frequencies, pairs, static_cast<float>(args.number("scale")), args.flag("interleaved")},
                                   .query_growth = {static_cast<float>(args.number("growth", 0)), args.integer("context", 1, kMostSize, 1)},
                                   .cache = cache.layer,
                                   .group = read_group(args, step, cache, 1),
                                   .query_heads = heads});
}

double call_attention(const Call& call) {
  const Args& args = call.args;
  const Step step = read_step(args);
  const Cache cache = read_cache(args);
  const int window = args.integer("window", 0, kMostSize), heads = args.integer("queryHeads", 1, 4096);
  if (heads % cache.layer.kv_heads != 0) {
    fail("INVALID_ARGUMENT", "queryHeads is %d; expected a multiple of kvHeads, %d", heads, cache.layer.kv_heads);
  }
  const int T = step.inputs.tokens, width = heads * cache.layer.head_size;
  return run_op(call, Attention{.step = &step.inputs,
                                .q = read_view(args, "q", T, width),
                                .out = read_view(args, "out", T, width),
                                .cache = cache.layer,
                                .group = read_group(args, step, cache, window),
                                .query_heads = heads,
                                .scale = static_cast<float>(args.number("scale")),
                                .softcap = static_cast<float>(args.number("softcap", 0)),
                                .window = window});
}

}  // namespace kvasir::testing
