#pragma once
// What of attention is a task: a kv head and up to kQueries of its queries, consecutive tokens times the query heads of the group. The tokens are of
// one row, or of rows whose contexts begin with the same pages: where streams share a prompt, its keys are read once for all of them.
#include "cpu/kernels/kv.h"
#include "cpu/simd.h"
#include "ops/attention.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kQueries = 64;       // of a task, or one token's group if that is larger; 16: the same speed in prefill of 135M
constexpr int kTasksOfThread = 4;  // wanted, of rows that share keys and all kv heads together

// What one worker takes at a time.
struct Queries {
  int row;  // and those before end_row
  int end_row;
  int kv_head;
  int first_token;  // within the step
  int count;        // M: query m is token first_token + m / group, head kv_head * group + m % group
  int group;
};

// The first key that a query sees.
KVASIR_INLINE int first_seen(const Attention& op, int position) {
  return op.window > 0 ? most(0, position - op.window + 1) : 0;
}

// Rows that share keys, and into how many tasks of each kv head their tokens are cut.
struct Rows {
  int first, end;
  int tokens_of_task;
  int tasks;
};

// A step's tasks in a numbering of rows that share keys, kv heads, and tasks of each: a head's keys stay in a cache that threads share.
class Tasks {
 public:
  // `list`: room for as many as the step has rows.
  Tasks(const Attention& op, int threads, Rows* list) : op_(op), list_(list) {
    for (int row = 0; row < op.step->rows; row = list[listed_ - 1].end) {
      list[listed_] = rows_from(row, threads);
      count_ += int64_t(list[listed_++].tasks) * op.cache.kv_heads;
    }
  }

  int64_t count() const { return count_; }

  // Those of a task. A row's last tokens, which see most keys, come first.
  Queries queries(int64_t task) const {
    const int32_t* first_tokens = op_.step->q_indptr;
    const int heads = op_.cache.kv_heads, group = op_.query_heads / heads;
    const Rows* rows = list_;
    for (; task >= int64_t(rows->tasks) * heads; ++rows) task -= int64_t(rows->tasks) * heads;
    const int behind = rows->tasks - 1 - static_cast<int>(task % rows->tasks);
    const int first = first_tokens[rows->first] + behind * rows->tokens_of_task;
    const int end = least(first + rows->tokens_of_task, first_tokens[rows->end]);
    int row = rows->first;
    while (first_tokens[row + 1] <= first) ++row;
    int end_row = row + 1;
    while (first_tokens[end_row] < end) ++end_row;
    return {row, end_row, static_cast<int>(task / rows->tasks), first, (end - first) * group, group};
  }

 private:
  // Whether the first key that both rows see is the same.
  bool share_keys(int a, int b) const {
    const StepInputs& step = *op_.step;
    const int key = most(first_seen(op_, step.starts[a]), first_seen(op_, step.starts[b]));
    if (key > least(step.starts[a], step.starts[b])) return false;
    const PageTables& tables = step.tables[op_.group];
    return page_of(tables, a, key, op_.cache.page_size) == page_of(tables, b, key, op_.cache.page_size);
  }

  Rows rows_from(int first, int threads) const {
    const int32_t* tokens = op_.step->q_indptr;
    const int heads = op_.cache.kv_heads, group = op_.query_heads / heads;
    int end = first + 1;
    while (end < op_.step->rows && tokens[end] > tokens[end - 1] && tokens[end + 1] > tokens[end] && share_keys(first, end)) ++end;
    const int count = tokens[end] - tokens[first];
    // Threads want tasks of their own; but fewer queries than a tile has take as long as a whole one.
    const int wanted = most(count * heads / (kTasksOfThread * threads), kTileRows / group);
    const int of_task = most(1, least(wanted, kQueries / group));
    return {first, end, of_task, (count + of_task - 1) / of_task};
  }

  const Attention& op_;
  const Rows* list_;
  int listed_ = 0;
  int64_t count_ = 0;
};

}  // namespace
}  // namespace kvasir::cpu::KVASIR_ISA
