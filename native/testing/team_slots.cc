#include "testing/team_slots.h"

namespace kvasir::testing {

TeamSlots::TeamSlots(const SlotLimits& limits, int blocks, int threads)
    : vocab_(limits.vocab),
      steps_(limits.step, limits.step.tokens),
      crew_(blocks, threads, limits.vocab),
      memory_(static_cast<size_t>(steps_.elements())),
      results_(limits.step.outputs),
      states_(limits.slots),
      arrays_(limits.slots) {}

void TeamSlots::set(int slot, SlotConfig config) {
  Arrays& arrays = arrays_[slot] = {cuda::setup_of(std::move(config)), {}, {}};
  cuda::SlotState& state = states_[slot] = arrays.setup.state;
  if (arrays.setup.counts) arrays.counts.resize(vocab_);
  for (const cuda::SeenToken& seen : arrays.setup.seen) arrays.counts[seen.token] = seen.outputs + 1;
  state.biases = arrays.setup.biases.data();
  state.end_tokens = arrays.setup.end_tokens.data();
  state.counts = arrays.setup.counts ? arrays.counts.data() : nullptr;
}

const StepInputs& TeamSlots::begin_step(const Batch& batch) {
  const StepSizes sizes = steps_.sizes_for(batch);
  steps_.write(batch, sizes, memory_.data());
  const StepInputs& step = steps_.inputs(sizes, memory_.data());
  for (int t = 0; t < step.tokens; ++t) {
    int32_t& token = const_cast<int32_t&>(step.token_ids[t]);
    if (token < 0) token = cuda::token_of(states_[step.slots[step.row_of_token[t]]], token);
  }
  return step;
}

void TeamSlots::sample(const Sample& op) {
  const StepInputs& step = *op.step;
  float* logits = static_cast<float*>(op.logits.data);
  const auto row_of = [&](int output) { return logits + (output - op.first) * op.logits.stride; };
  for (int o = op.first; o < op.first + op.count; ++o) {
    if (cuda::keeps_logits(step, o)) arrays_[step.slots[step.out_rows[o]]].raw.assign(row_of(o), row_of(o) + vocab_);
  }
  cuda::SampledOutput* results = results_.data();
  const cuda::SampleJob job{step, op.first, op.count, vocab_, 0, logits, op.logits.stride, states_.data(), &results};
  run_team(crew_, [&](HostTeam& team) { cuda::sample_rows(team, job, 0, 1); });
  for (int o = op.first; o < op.first + op.count; ++o) {
    if (step.out_rows[o] < 0) continue;
    cuda::deliver(results_[o], o, *op.result);
    const int64_t row = cuda::logit_row(step, o);
    if (row >= 0) std::copy_n(row_of(o), vocab_, op.result->logits.begin() + row * vocab_);
  }
}

void TeamSlots::choose(Choose choice) {
  std::vector<float>& raw = arrays_[choice.slot].raw;
  if (raw.empty()) return;
  cuda::SampledOutput result;
  const cuda::ChoiceJob job{vocab_, &states_[choice.slot], raw.data(), choice.logits.data(), &result};
  run_team(crew_, [&](HostTeam& team) { cuda::choose_row(team, job); });
  cuda::deliver(result, 0, *choice.result);
  raw.clear();
}

void keep_by_team(std::span<const float> logits, const SampleParams& params, int blocks, int threads, std::span<uint8_t> kept) {
  const int vocab = static_cast<int>(logits.size());
  HostCrew crew(blocks, threads, vocab);
  run_team(crew, [&](HostTeam& team) {
    cuda::RowPart part = cuda::own_part(team, vocab);
    const cuda::Best best = cuda::read_values(team, part, logits.data() + part.first, true);
    if (!best.exists() || !best.numbers()) return;
    cuda::Stages<HostTeam> stages(team, part, params, best.value());
    stages.run(vocab);
    for (int i = team.thread(); i < part.count; i += team.threads()) kept[part.token(i)] = part.weights[i] > 0;
  });
}

}  // namespace kvasir::testing
