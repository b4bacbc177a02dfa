#pragma once
// What a back end provides: memory, ops, slots, and the order in which they run. The engine and the model call nothing else.
//
// Letters: B sequences (rows of a step), T tokens in the step, Hq query heads, Hkv key/value heads, D head size, P page size,
// K inputs and N outputs of a matmul, V vocabulary. Positions and ids are int32; whatever addresses a cache or a weight is int64.
//
// Order: everything runs in the order in which it was called, be it at once (CPU) or later (a device, on a queue of its own); record()
// marks a place in that order and wait() waits for it. Whoever calls sees no result before. Buffers, weights and slots may go at any time:
// they wait for what was called before and refers to them.
//
// The law of every op: the bits of a row of its result depend on that row's inputs alone: not on the other rows, on their number, or on
// the number of threads. Each op states its order of accumulation.
#include <compare>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "ops/op.h"
#include "ops/sample.h"

namespace kvasir {

// What the back end's ops take and give between each other.
struct Activations {
  DType residual;  // add_norm's x, embed's y
  DType input;     // of a matmul: add_norm's y, attention's out, a gated unit's product; of 16 bits in an order of the back end's own
  DType output;    // of a matmul, but for logits, which are float32
  int logit_rows;  // rows of logits at a time: enough that a pass over the output matrix pays
};

// The most that the back end's kernels take.
struct Limits {
  int norm_cols = std::numeric_limits<int>::max();  // of add_norm
  int head_size = std::numeric_limits<int>::max();  // of attention
};

// Parts of a step that replay() may record: the forward pass, and from kFirstLogits on pieces of the logits. Those of a draft model are as
// many as kDraft later.
struct ReplayPart {
  static constexpr int kForward = 0, kFirstLogits = 1, kDraft = 1 << 20;
};

// What a recording is of, beside addresses that never change: a forward pass depends on rows, tokens and whether any is long, a piece of
// logits on outputs alone.
struct Recorded {
  Recorded(const std::pair<int, const StepInputs*>& of) : part(of.first) {
    const bool forward = part % ReplayPart::kDraft == ReplayPart::kForward;
    rows = forward ? of.second->rows : 0;
    tokens = forward ? of.second->tokens : 0;
    outputs = forward ? 0 : of.second->outputs;
    is_long = forward && of.second->is_long;
  }
  auto operator<=>(const Recorded&) const = default;

  int part, rows, tokens, outputs;
  bool is_long;
};

// A place in the order of calls.
using Event = uint64_t;

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string processor() const = 0;  // of the processor or device
  virtual Activations activations(Compute compute) const = 0;
  virtual Limits limits() const { return {}; }

  // A device becomes the thread's own: before a thread calls anything from here on but done(), or destroys the back end or what it made.
  virtual void enter_thread() noexcept {}

  virtual std::unique_ptr<Buffer> allocate(size_t bytes) = 0;  // throws OUT_OF_MEMORY
  virtual Matrix create_weight(DType type, Compute compute, int rows, int cols) = 0;
  virtual std::unique_ptr<Slots> create_slots(const SlotLimits& limits) = 0;

  // Host memory to read a piece of a file into, then to hand to upload or pack_rows; valid until the next call of stage().
  virtual std::span<uint8_t> stage(size_t bytes) = 0;
  virtual void upload(Buffer& buffer, std::span<const uint8_t> staged) = 0;
  // Rows [first, first + count) of the file's layout (rows of whole blocks, one after the other) into their repacked place.
  // `first` is a multiple of kPackRows; `count` too, but for the last rows of the matrix.
  virtual void pack_rows(Weight& weight, int first, int count, std::span<const uint8_t> staged) = 0;
  static constexpr int kPackRows = 16;

  virtual void run(const Op& op) = 0;
  // Runs the ops of `body`, which depend on nothing but the sizes of `step` and on addresses that never change: a device may record them
  // once for each part and size (Recorded), and play them back. Returns whether it has recorded now, which takes longer than a step.
  virtual bool replay(int /*part*/, const StepInputs& /*step*/, const std::function<void()>& body) {
    body();
    return false;
  }

  virtual Event record() { return 0; }
  // Blocks until all that was called has run, and forgets it and its failures: of a step that could not be launched whole, or marked by
  // record(), nobody waits for an event.
  virtual void abandon() noexcept {}
  // Blocks until all that was called before `event` has run. Throws what failed there. Another thread may wait while more is called.
  virtual void wait(Event) {}
  // Whether wait() would return at once.
  virtual bool done(Event) const { return true; }
};

}  // namespace kvasir
