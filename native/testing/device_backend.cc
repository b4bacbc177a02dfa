#include "testing/device_backend.h"

#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/packed_weight.h"
#include "cpu/slots.h"
#include "ops/padded_steps.h"
#include "tensor/status.h"
#include "testing/device_memory.h"
#include "testing/device_queue.h"
#include "testing/faults.h"

namespace kvasir::testing {
namespace {

// Steps of at most so many tokens are padded and recorded, larger ones run as they are.
constexpr int kMostRecorded = 64;

// Whose rows may still be on their way to their place.
struct DeviceWeight : cpu::PackedWeight {
  DeviceWeight(const cpu::PackedWeight& packed, DeviceQueue& packer) : cpu::PackedWeight(packed), queue(packer) {}
  ~DeviceWeight() override { queue.drain(); }

  DeviceQueue& queue;
};

class DeviceSlots : public Slots {
 public:
  DeviceSlots(const SlotLimits& limits, DeviceMemory& memory, DeviceQueue& queue, Backend& inner)
      : steps_(limits.step, kMostRecorded),
        host_steps_(limits.step, kMostRecorded),
        memory_(memory),
        queue_(queue),
        slots_(inner.create_slots(limits)) {
    const size_t bytes = static_cast<size_t>(steps_.elements()) * sizeof(int32_t);
    arrays_ = memory_.wrap(bytes, inner.allocate(bytes));
  }
  ~DeviceSlots() override { queue_.drain(); }

  void set(int slot, SlotConfig config) override {
    queue_.push([this, slot, config = std::move(config)] { slots_->set(slot, config); });
  }

  const StepInputs& begin_step(const Batch& batch) override {
    const StepSizes sizes = steps_.sizes_for(batch);
    const StepInputs& device = steps_.inputs(sizes, static_cast<int32_t*>(arrays_->address()));
    auto staged = std::make_shared<std::vector<int32_t>>(static_cast<size_t>(steps_.used(sizes)));
    steps_.write(batch, sizes, staged->data());
    // Also after a failure: what is recorded of the step refers to its inputs.
    queue_.push_always([this, sizes, &device] {
      twins_[&device] = &host_steps_.inputs(sizes, static_cast<int32_t*>(memory_.translate(arrays_->address())));
    });
    queue_.push([this, staged, &device] {
      std::memcpy(memory_.translate(arrays_->address()), staged->data(), staged->size() * sizeof(int32_t));
      static_cast<cpu::CpuSlots&>(*slots_).put_last_tokens(host_inputs(device));
    });
    return device;
  }

  void sample(const Sample& op) override {
    queue_.push([this, op] {
      Sample translated = op;
      translated.step = &host_inputs(*op.step);
      translated.logits.data = memory_.translate(op.logits.data);
      slots_->sample(translated);
    });
  }

  void choose(Choose choice) override {
    queue_.push([this, choice = std::make_shared<Choose>(std::move(choice))] { slots_->choose(std::move(*choice)); });
  }

  // The same step at the host's addresses. On the queue's thread.
  const StepInputs& host_inputs(const StepInputs& device) const {
    const auto twin = twins_.find(&device);
    if (twin == twins_.end()) fail("INTERNAL", "an op was given the inputs of no step");
    return *twin->second;
  }

 private:
  PaddedSteps steps_, host_steps_;  // the latter on the queue's thread alone
  DeviceMemory& memory_;
  DeviceQueue& queue_;
  std::unique_ptr<Slots> slots_;  // the queue's thread uses them
  std::unique_ptr<Buffer> arrays_;
  std::map<const StepInputs*, const StepInputs*> twins_;  // device to host
};

class DeviceBackend : public Backend {
 public:
  DeviceBackend(const std::string& isa, int threads) : inner_(cpu::create_backend(isa, threads)) {}

  void enter_thread() noexcept override { entered_ = this; }

  std::string processor() const override { return "device-like test back end"; }

  // Pieces of logits that differ from the CPU's.
  Activations activations(Compute compute) const override {
    Activations activations = inner_->activations(compute);
    activations.logit_rows = 8;
    return activations;
  }

  Limits limits() const override { return {.norm_cols = 8192, .head_size = 512}; }

  std::unique_ptr<Buffer> allocate(size_t bytes) override {
    check_entered();
    return memory_.wrap(bytes, inner_->allocate(bytes));
  }
  Matrix create_weight(DType type, Compute compute, int rows, int cols) override {
    check_entered();
    const Matrix packed = inner_->create_weight(type, compute, rows, cols);
    return std::make_unique<DeviceWeight>(static_cast<const cpu::PackedWeight&>(*packed), queue_);
  }
  std::unique_ptr<Slots> create_slots(const SlotLimits& limits) override {
    check_entered();
    auto slots = std::make_unique<DeviceSlots>(limits, memory_, queue_, *inner_);
    slots_ = slots.get();
    return slots;
  }

  // A fresh piece each time: what was staged before may not have been taken yet.
  std::span<uint8_t> stage(size_t bytes) override {
    staged_ = std::make_shared<std::vector<uint8_t>>(bytes);
    return {staged_->data(), bytes};
  }
  void upload(Buffer& buffer, std::span<const uint8_t> staged) override {
    check_entered();
    queue_.push([this, address = buffer.address(), piece = staged_, staged] {
      if (!staged.empty()) std::memcpy(memory_.translate(address), staged.data(), staged.size());
    });
  }
  void pack_rows(Weight& weight, int first, int count, std::span<const uint8_t> staged) override {
    check_entered();
    queue_.push([this, &weight, first, count, piece = staged_, staged] { inner_->pack_rows(weight, first, count, staged); });
  }

  void run(const Op& op) override {
    check_entered();
    if (recording_ != nullptr) {
      recording_->push_back(op);
    } else {
      queue_.push([this, op] { execute(op); });
    }
  }

  bool replay(int part, const StepInputs& step, const std::function<void()>& body) override {
    check_entered();
    if (step.tokens > kMostRecorded) {
      body();
      return false;
    }
    const Recorded key({part, &step});
    const bool is_new = !recordings_.contains(key);
    if (is_new) {
      recording_faults().count();
      Recording recording;
      recording_ = &recording;
      try {
        body();
      } catch (...) {
        recording_ = nullptr;
        throw;
      }
      recording_ = nullptr;
      recordings_[key] = std::move(recording);
    }
    queue_.push([this, &recording = recordings_.at(key)] {
      for (const Op& op : recording) execute(op);
    });
    return is_new;
  }

  Event record() override {
    check_entered();
    record_faults().count();
    return queue_.record();
  }
  void abandon() noexcept override { queue_.abandon(); }
  void wait(Event event) override {
    check_entered();
    queue_.wait(event);
  }
  bool done(Event event) const override { return queue_.done(event); }

 private:
  using Recording = std::vector<Op>;

  // A device is the thread's own: the engine has to say so before it calls anything that reaches it.
  void check_entered() const {
    if (entered_ != this) fail("INTERNAL", "a thread called a device that it has not entered");
  }

  // On the queue's thread: the CPU's op at the host's addresses.
  void execute(Op op) {
    op_faults().count();
    std::visit([this](auto& each) { each.visit([this](auto&... places) { (translate(places), ...); }); }, op);
    inner_->run(op);
  }
  void translate(View& view) const { view.data = memory_.translate(view.data); }
  void translate(const StepInputs*& step) const { step = &slots_->host_inputs(*step); }

  static thread_local const DeviceBackend* entered_;

  std::unique_ptr<Backend> inner_;
  DeviceMemory memory_{queue_};
  std::shared_ptr<std::vector<uint8_t>> staged_;
  DeviceSlots* slots_ = nullptr;
  Recording* recording_ = nullptr;
  std::map<Recorded, Recording> recordings_;
  DeviceQueue queue_;  // last: its thread uses all of the above
};

thread_local const DeviceBackend* DeviceBackend::entered_ = nullptr;

}  // namespace

std::unique_ptr<Backend> create_device_backend(const std::string& isa, int threads) {
  return std::make_unique<DeviceBackend>(isa, threads);
}

}  // namespace kvasir::testing
