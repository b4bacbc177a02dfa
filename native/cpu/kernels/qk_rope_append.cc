// qk_rope_append: see ops/qk_rope_append.h. A token's heads are normed, rotated and written while they are in L1; cosines and sines are
// computed once, in chunks of pairs, for all of its heads.
#include "ops/qk_rope_append.h"

#include <cmath>

#include "cpu/kernels.h"
#include "cpu/kernels/kv.h"
#include "cpu/kernels/rotation.h"
#include "cpu/kernels/rows.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// One token's q or k.
struct Heads {
  float* data;
  int count;
  int size;

  float* operator[](int head) const { return data + int64_t(head) * size; }
};

void norm_heads(const Heads& heads, const View& weight, Norm kind) {
  if (!weight) return;
  for (int head = 0; head < heads.count; ++head) norm(heads[head], row_of(weight, head), heads.size, kind, heads[head]);
}

void grow(const QueryGrowth& by, int position, const Heads& q) {
  if (by.growth == 0) return;
  const auto factor = static_cast<float>(1 + by.growth * std::log1p(static_cast<double>(position / by.context)));
  const int64_t count = int64_t(q.count) * q.size;
  for_vectors(0, count, [&](int64_t i, int lanes) { store_lanes(q.data + i, load_lanes(q.data + i, lanes) * splat(factor), lanes); });
}

void rotate_heads(const QkRopeAppend& op, int position, const Heads& q, const Heads& k) {
  for (int first = 0; first < op.rope.pairs; first += kRotationPairs) {
    const int count = least(kRotationPairs, op.rope.pairs - first);
    const Rotation rotation = rotation_of(op.rope, position, first, count);
    for (const Heads* heads : {&q, &k}) {
      for (int head = 0; head < heads->count; ++head) rotate(op.rope, rotation, first, count, (*heads)[head]);
    }
  }
}

// A head of keys, a column of the page: element d at [d * P].
template <class E>
void put_key(const float* k, int head_size, int page_size, typename E::Element* column) {
  for_vectors(0, head_size, [&](int64_t d, int lanes) {
    typename E::Element converted[kLanes];
    E::store16(converted, load_lanes(k + d, lanes));
    for (int i = 0; i < lanes; ++i) column[(d + i) * page_size] = converted[i];
  });
}

template <class E>
void put_value(const float* v, int head_size, typename E::Element* row) {
  for_vectors(0, head_size, [&](int64_t d, int lanes) {
    if (lanes == kLanes) return E::store16(row + d, load(v + d));
    typename E::Element converted[kLanes];
    E::store16(converted, load_part(v + d, lanes));
    std::memcpy(row + d, converted, lanes * sizeof converted[0]);
  });
}

template <class E>
void append(const QkRopeAppend& op, int row, int position, const Heads& k, const Heads& v) {
  using Element = typename E::Element;
  const KvLayer& cache = op.cache;
  const int D = cache.head_size, P = cache.page_size, place = position % P;
  const int64_t page = page_of(op.step->tables[op.group], row, position, P);
  for (int head = 0; head < cache.kv_heads; ++head) {
    const int64_t from = int64_t(head) * D * P;
    put_key<E>(k[head], D, P, static_cast<Element*>(cache.k.data) + page * cache.k.stride + from + place);
    put_value<E>(v[head], D, static_cast<Element*>(cache.v.data) + page * cache.v.stride + from + int64_t(place) * D);
  }
}

template <class E>
void run_token(const QkRopeAppend& op, int64_t token) {
  const int row = op.step->row_of_token[token], position = op.step->positions[token], D = op.cache.head_size;
  if (row < 0) return;  // padding
  const Heads q{row_of(op.q, token), op.query_heads, D}, k{row_of(op.k, token), op.cache.kv_heads, D};
  norm_heads(q, op.q_norm, op.norm);
  norm_heads(k, op.k_norm, op.norm);
  rotate_heads(op, position, q, k);
  grow(op.query_growth, position, q);
  append<E>(op, row, position, k, {row_of(op.v, token), op.cache.kv_heads, D});
}

}  // namespace

void run(const QkRopeAppend& op, Context context) {
  const auto kernel = with_element(op.cache.k.type, [](auto element) { return &run_token<decltype(element)>; });
  // In elements of a plain loop: a cosine costs some 32 of them, a key's strided stores 8 each.
  const int64_t work = int64_t(op.query_heads + 9 * op.cache.kv_heads) * op.cache.head_size + 32 * op.rope.pairs;
  for_items(context.threads, op.step->tokens, work, [&](int64_t token) { kernel(op, token); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
