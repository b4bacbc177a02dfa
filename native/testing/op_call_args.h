#pragma once
// What the ops of op_call share: arguments as the contracts' types. All sizes are checked as they are read, before anything is touched.
#include <napi.h>

#include <functional>
#include <initializer_list>
#include <vector>

#include "addon/args.h"
#include "ops/backend.h"

namespace kvasir::testing {

inline constexpr int kMostTokens = 1 << 20;  // and rows and outputs of a step: bounds what a wrong number makes us allocate

// Threads of the host in the place of a GPU's; no blocks: none.
struct TeamSize {
  int blocks = 0;
  int threads = 0;
};

struct Call {
  Backend& backend;
  std::string isa;
  int repeat;
  TeamSize team;
  bool on_device;  // the back end's memory is not the host's
  Args args;       // a copy of the caller's, without getters
};

// Runs as often as asked; returns the fastest time in seconds.
double best_time(const Call& call, const std::function<void()>& run);
double run_op(const Call& call, const Op& op);

// Elements of an array of this shape.
size_t elements(std::initializer_list<int64_t> shape);

// A float32 matrix: a Float32Array of rows * cols, or { data, stride } with `stride` elements from a row to the next.
View read_view(const Args& args, const char* name, int rows, int cols);
// The same, or none where it is undefined.
View read_optional_view(const Args& args, const char* name, int rows, int cols);

// args.norm, "rms" or "layer" (rms where it is left out), and args.epsilon.
Norm read_norm(const Args& args);

// The rows of a step. Arrays have the names of StepBuffers; those that are left out say: tokens 0, no outputs, no pages.
Batch read_batch(const Args& args, int groups);

// The batch's sizes and what `args.padding` adds to them: { rows, tokens, outputs }.
StepSizes read_sizes(const Args& args, const Batch& batch, int groups);

// A step's arrays as a back end lays them out.
struct Step {
  Step(Batch rows, const StepSizes& sizes);
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  Batch batch;  // without padding
  std::vector<int32_t> arrays;
  std::vector<PageTables> tables;
  StepInputs inputs;
};

// args.step, with the page tables of args.step.groups cache groups.
Step read_step(const Args& args);

}  // namespace kvasir::testing
