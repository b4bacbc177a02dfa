#pragma once
// One step: as the host plans it (Batch, the twin of StepBuffers in lib/native/addon.ts, where the arrays are drawn), as the ops find it
// (StepInputs, in the back end's memory), and what it gives back (StepResult).
#include <cstdint>
#include <span>
#include <vector>

namespace kvasir {

// Draft: as Sample, but of a guess, which the slot keeps until the step that checks it (ops/sample.h), or nothing; of passes of a draft model.
enum class RowOutput : int32_t { None = 0, Sample = 1, Logits = 2, Score = 3, Draft = 4 };

inline constexpr int kMaxTopLogprobs = 20;
// In place of a sampled token, of outputs of every kind: the model's logits are NaN or +infinity somewhere, or none is finite; or those that
// a token was to be chosen from are NaN or +infinity somewhere. The twin of NOT_NUMBERS in lib/native/addon.ts.
inline constexpr int32_t kNotNumbers = -2;

// What the draft model runs before a step, in its own cache groups: tokens of the rows that it has not seen, then those that it samples
// itself, one after the other. Without elements: nothing.
struct Drafts {
  std::vector<int32_t> indptr;  // [B + 1] row b's are tokens[indptr[b] .. indptr[b + 1])
  std::vector<int32_t> starts;  // [B] position of the first of them
  std::vector<int32_t> tokens;  // -1: the token that the row's slot sampled last
  std::vector<int32_t> counts;  // [B] tokens that it then samples: the row's tokens -2, -3, ...
};

// B rows, T tokens, R outputs, G cache groups.
struct Batch {
  int row_count = 0;                 // B
  std::vector<int32_t> slots;        // [B]
  std::vector<int32_t> q_indptr;     // [B + 1]
  std::vector<int32_t> starts;       // [B]
  std::vector<int32_t> tokens;       // [T]; -1: the token that the row's slot sampled last; -2 - i: the i-th that was drafted for it
  std::vector<int32_t> kinds;        // [B] RowOutput
  std::vector<int32_t> out_indptr;   // [B + 1]
  std::vector<int32_t> next_tokens;  // [B]
  std::vector<int32_t> logit_rows;   // [B]
  std::vector<int32_t> kv_indptr;    // [G * (B + 1)]
  std::vector<int32_t> kv_first;     // [G * B]
  std::vector<int32_t> kv_pages;
  Drafts drafts;

  int token_count() const { return q_indptr[row_count]; }
  int output_count() const { return out_indptr[row_count]; }
};

// Sizes of a step, or the largest that they may become.
struct StepSizes {
  int rows = 0;          // B
  int tokens = 0;        // T
  int outputs = 0;       // R
  int groups = 0;        // G
  int64_t pages = 0;     // in the page tables of all groups
  bool is_long = false;  // some row ends beyond kShortContext
};

// How a back end shares out the work of a step may depend on whether all rows are as short.
inline constexpr int kShortContext = 1024;  // tokens

StepSizes sizes_of(const Batch& batch, int groups);

// Which pages belong to row b in one cache group: pages[indptr[b] .. indptr[b + 1]) in order; the first
// holds positions from first[b] * P on.
struct PageTables {
  const int32_t* indptr;  // [B + 1]
  const int32_t* first;   // [B]
  const int32_t* pages;
};

// What all ops of a step share. A back end may pad a step to a larger size. Rows that were added have no tokens and no outputs; tokens that
// were added have id 0, position 0 and no row (-1); outputs that were added are made of token 0 and have no row. Ops write no page and give
// no result for these; what they leave in views means nothing, and need not be finite. As many rows as tokens are there only where each row
// has one token or none.
struct StepInputs {
  int rows;      // B
  int tokens;    // T
  int outputs;   // R
  bool is_long;  // some row ends beyond kShortContext

  const int32_t* token_ids;     // [T], each in [0, V)
  const int32_t* positions;     // [T]
  const int32_t* row_of_token;  // [T]; -1: padding
  const int32_t* slots;         // [B]
  const int32_t* q_indptr;      // [B + 1] row b has the tokens [q_indptr[b], q_indptr[b + 1]), at positions starts[b], starts[b] + 1, ...
  const int32_t* starts;        // [B]
  const int32_t* kinds;         // [B] RowOutput
  const int32_t* out_indptr;    // [B + 1] row b has the outputs [out_indptr[b], out_indptr[b + 1])
  const int32_t* out_tokens;    // [R] the token whose logits the output is made of
  const int32_t* out_rows;      // [R]; -1: padding
  const int32_t* next_tokens;   // [B] score rows: the token after the row's last, or -1
  const int32_t* logit_rows;    // [B] where the logits of the row's outputs begin in StepResult::logits, or -1
  std::span<const PageTables> tables;  // [G]
};

// All arrays of a step in one piece of int32 memory. Where each begins follows from the sizes that the layout was made for, so that the
// arrays of a layout for the largest step never move.
class StepLayout {
 public:
  explicit StepLayout(const StepSizes& capacity);

  int64_t elements() const { return end_; }
  // Writes the batch, padded to `sizes` (at most the capacity; pages are not padded). Tokens below 0 stay so.
  void write(const Batch& batch, const StepSizes& sizes, int32_t* memory) const;
  // The arrays in such memory; `tables` [G] is filled and referred to.
  StepInputs inputs(const StepSizes& sizes, const int32_t* memory, std::span<PageTables> tables) const;

 private:
  int64_t token_ids_, positions_, row_of_token_, slots_, q_indptr_, starts_, kinds_, next_tokens_, logit_rows_, out_indptr_, out_tokens_,
      out_rows_, kv_indptr_, kv_first_, kv_pages_, end_;
};

// What outputs gave, in host memory: complete once the back end's event of the step was waited for.
struct StepResult {
  std::vector<int32_t> sampled;     // [R]; -1: nothing; kNotNumbers
  std::vector<float> logprobs;      // [R] of the sampled token, or of the token that a score row has next
  std::vector<int32_t> top_tokens;  // [R * kMaxTopLogprobs]; -1: none
  std::vector<float> top_logprobs;  // [R * kMaxTopLogprobs]
  std::vector<float> logits;        // [rows, V] of the outputs that ask for them

  void reset(int outputs, size_t logits_size);
};

}  // namespace kvasir
