#pragma once
// Rows of logits through the stages, a row's outputs one after the other.
#include "cuda/kernels/sample_stages.h"

namespace kvasir::cuda {

// By the team's first thread.
template <class Team>
KVASIR_TEAM void put_result(const Team& team, SampledOutput* result, int32_t token, float logprob, int tops) {
  if (!team.leads()) return;
  result->token = token;
  result->logprob = logprob;
  result->tops = tops;
}

KVASIR_TEAM inline int smaller(int a, int b) {
  return a < b ? a : b;
}

// The token counts and is the next input. Its count is its block's alone.
template <class Team>
KVASIR_TEAM void accept(Team& team, const RowPart& part, const SlotState& slot, SlotProgress& progress, int32_t token) {
  progress.place += 1;
  progress.last_token = token;
  if (slot.counts == nullptr) return;
  if (team.thread() == 0 && token >= part.first && token < part.first + part.count) {
    slot.counts[token] += slot.counts[token] == 0 ? 2 : 1;
  }
  team.sync();
}

// The token of the slot's own parameters; its adjusted logits are the part's values, if they differ.
template <class Team>
KVASIR_TEAM int32_t choose_adjusted(Team& team, const RowPart& part, const float* own, const SlotState& slot, uint64_t place, int vocab) {
  const bool changes = slot.counts != nullptr || slot.bias_count > 0 || bans(slot, place);
  if (changes) return choose(team, part, part.values, slot, place, vocab, adjust(team, part, own, slot, place));
  const int32_t token = choose(team, part, own, slot, place, vocab, kHoldFinite);
  return token == -1 ? kNotNumbers : token;
}

template <class Team>
KVASIR_TEAM void sample_token(Team& team, const float* logits, const SlotState& slot, SlotProgress& progress, int vocab,
                              SampledOutput* result) {
  const RowPart part = own_part(team, vocab);
  const float* own = logits + part.first;
  const int tops = smaller(slot.logprobs, vocab);
  const double log_sum = tops >= 0 ? log_probabilities(team, part, own, tops, result) : 0;
  const int32_t token = choose_adjusted(team, part, own, slot, progress.place, vocab);
  const bool told = tops >= 0 && token >= 0;
  const int listed = tops > 0 && log_sum == log_sum ? tops : 0;
  put_result(team, result, token, told ? static_cast<float>(logits[told ? token : 0] - log_sum) : NAN, listed);
  progress.sampled = token;
  if (token >= 0) accept(team, part, slot, progress, token);
}

// A draft is accepted as a token that was sampled, and undone when the step begins that checks it.
template <class Team>
KVASIR_TEAM void accept_draft(Team& team, const RowPart& part, const SlotState& slot, SlotProgress& progress, int32_t token) {
  if (progress.kept_token < 0) {
    progress.kept_token = progress.last_token;
    progress.drafts = 0;
  }
  DraftedToken& drafted = slot.drafted[progress.drafts++];
  if (team.leads()) drafted.token = token;
  if (slot.counts != nullptr && team.thread() == 0 && token >= part.first && token < part.first + part.count) {
    drafted.count = slot.counts[token];
  }
  accept(team, part, slot, progress, token);
}

// By one thread: the slot as it was before it drafted.
KVASIR_TEAM inline void end_drafts(SlotState& slot) {
  SlotProgress& progress = slot.progress;
  if (progress.kept_token < 0) return;
  progress.last_token = progress.kept_token;
  progress.kept_token = -1;
  progress.place -= static_cast<uint64_t>(progress.drafts);
  for (int i = progress.drafts - 1; i >= 0 && slot.counts != nullptr; --i) slot.counts[slot.drafted[i].token] = slot.drafted[i].count;
}

// What stands for a token of a step: a token as it is, -1 the slot's last, -2 - i its i-th draft.
KVASIR_TEAM inline int32_t token_of(const SlotState& slot, int32_t id) {
  if (id >= -1) return id >= 0 ? id : slot.progress.last_token;
  return -2 - id < slot.progress.drafts ? slot.drafted[-2 - id].token : 0;
}

// As sample_token, without log-probabilities. Where no logit is finite any token will do: it is wrong.
template <class Team>
KVASIR_TEAM void sample_draft(Team& team, const float* logits, const SlotState& slot, SlotProgress& progress, int vocab,
                              SampledOutput* result) {
  const RowPart part = own_part(team, vocab);
  progress.sampled = choose_adjusted(team, part, logits + part.first, slot, progress.place, vocab);
  const int32_t token = progress.sampled < 0 ? 0 : progress.sampled;
  put_result(team, result, token, NAN, 0);
  accept_draft(team, part, slot, progress, token);
}

// Adjusted logits in place of the raw ones, for the host.
template <class Team>
KVASIR_TEAM void adjust_logits(Team& team, float* logits, const SlotState& slot, uint64_t place, int vocab, SampledOutput* result) {
  const RowPart part = own_part(team, vocab);
  const Best raw = team.reduce(Best{0, adjust(team, part, logits + part.first, slot, place)}, MergeBests());
  for (int i = team.thread(); i < part.count; i += team.threads()) logits[part.first + i] = part.values[i];
  team.sync();
  put_result(team, result, raw.exists() && raw.numbers() ? -1 : kNotNumbers, NAN, 0);
}

// The log-probability of the token that follows.
template <class Team>
KVASIR_TEAM void score_next(Team& team, const float* logits, int32_t next, int vocab, SampledOutput* result) {
  const RowPart part = own_part(team, vocab);
  const double log_sum = log_probabilities(team, part, logits + part.first, 0, result);
  put_result(team, result, log_sum == log_sum ? -1 : kNotNumbers, next >= 0 ? static_cast<float>(logits[next] - log_sum) : NAN, 0);
}

// Outputs of one row depend on each other, but for those of Score rows.
KVASIR_TEAM inline bool begins_run(const SampleJob& job, int output) {
  const int32_t* rows = job.step.out_rows;
  if (rows[output] < 0) return false;
  return output == job.first || rows[output] != rows[output - 1] || job.step.kinds[rows[output]] == int32_t(RowOutput::Score);
}

template <class Team>
KVASIR_TEAM void sample_output(Team& team, const SampleJob& job, int output, const SlotState& slot, SlotProgress& progress) {
  const StepInputs& step = job.step;
  const int row = step.out_rows[output], token = step.out_tokens[output];
  float* logits = job.logits + (output - job.first) * job.stride;
  SampledOutput* result = *job.results + output;
  switch (static_cast<RowOutput>(step.kinds[row])) {
    case RowOutput::Sample:
      // What stands before it was a guess: it counts if that was the token that was sampled.
      if (output == step.out_indptr[row] || progress.sampled == step.token_ids[token]) {
        return sample_token(team, logits, slot, progress, job.vocab, result);
      }
      progress.sampled = -1;
      return put_result(team, result, -1, NAN, 0);
    case RowOutput::Logits:
      return adjust_logits(team, logits, slot, progress.place, job.vocab, result);
    case RowOutput::Score:
      return score_next(team, logits, token + 1 < step.q_indptr[row + 1] ? step.token_ids[token + 1] : step.next_tokens[row], job.vocab,
                        result);
    case RowOutput::Draft:
      return sample_draft(team, logits, slot, progress, smaller(job.vocab, job.draft_vocab), result);
    case RowOutput::None:
      return;
  }
}

// The outputs of one row in this job, or one output of a Score row.
template <class Team>
KVASIR_TEAM_CALL void sample_run(Team& team, const SampleJob& job, int first) {
  SlotState& slot = job.slots[job.step.slots[job.step.out_rows[first]]];
  SlotProgress progress = slot.progress;
  for (int o = first; o < job.first + job.count && (o == first || (job.step.out_rows[o] >= 0 && !begins_run(job, o))); ++o) {
    sample_output(team, job, o, slot, progress);
  }
  const auto kind = static_cast<RowOutput>(job.step.kinds[job.step.out_rows[first]]);
  if (kind != RowOutput::Sample && kind != RowOutput::Draft) return;
  if (progress.sampled < 0) team.barrier();  // where no output was sampled, others may not have read it yet
  if (team.leads()) slot.progress = progress;
}

// Runs number `team_index`, `team_index` + teams, ... of the job.
template <class Team>
KVASIR_TEAM void sample_rows(Team& team, const SampleJob& job, int team_index, int teams) {
  int run = 0;
  for (int o = job.first; o < job.first + job.count; ++o) {
    if (begins_run(job, o) && run++ % teams == team_index) sample_run(team, job, o);
  }
}

// A token from logits that a processor changed; log-probabilities are those of the raw ones.
template <class Team>
KVASIR_TEAM void choose_row(Team& team, const ChoiceJob& job) {
  const RowPart part = own_part(team, job.vocab);
  const SlotState& slot = *job.slot;
  SlotProgress progress = slot.progress;
  const int tops = smaller(slot.logprobs > 0 ? slot.logprobs : 0, job.vocab);
  const double log_sum = log_probabilities(team, part, job.raw + part.first, tops, job.result);
  const bool numbers = log_sum == log_sum;
  const int32_t token = numbers ? choose(team, part, job.changed + part.first, slot, progress.place, job.vocab, kHoldFinite) : kNotNumbers;
  put_result(team, job.result, token, token >= 0 ? static_cast<float>(job.raw[token] - log_sum) : NAN, numbers ? tops : 0);
  if (token >= 0) accept(team, part, slot, progress, token);
  if (team.leads()) job.slot->progress = progress;
}

}  // namespace kvasir::cuda
