// append_kv: see ops/append_kv.h.
#include "ops/append_kv.h"

#include "cpu/kernels.h"
#include "cpu/kernels/kv.h"
#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// One token's head of keys, a column of the page: element d at [d * P].
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
void append_token(const AppendKv& op, int row, int token) {
  using Element = typename E::Element;
  const KvLayer& cache = op.cache;
  const int heads = cache.kv_heads, D = cache.head_size, P = cache.page_size;
  const int position = op.rows.starts[row] + token - op.rows.indptr[row], place = position % P;
  const int64_t page = op.tables.pages[op.tables.indptr[row] + position / P - op.tables.first[row]];
  for (int head = 0; head < heads; ++head) {
    const int64_t from = (int64_t(token) * heads + head) * D, block = page * cache.page_stride + int64_t(head) * D * P;
    put_key<E>(op.k + from, D, P, static_cast<Element*>(cache.k) + block + place);
    put_value<E>(op.v + from, D, static_cast<Element*>(cache.v) + block + int64_t(place) * D);
  }
}

}  // namespace

void append_kv(const AppendKv& op, Threads& threads) {
  const auto append = with_element(op.cache.type, [](auto element) { return &append_token<decltype(element)>; });
  const int64_t elements = int64_t(op.cache.kv_heads) * op.cache.head_size * 8;  // a key's strided stores cost more than a vector's
  for_items(threads, op.rows.indptr[op.rows.count], elements, [&](int64_t token) {
    int row = 0;
    while (op.rows.indptr[row + 1] <= token) ++row;
    append(op, row, static_cast<int>(token));
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
