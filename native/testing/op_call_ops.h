#pragma once
// The ops of op_call: each reads its arguments, which have the names of its contract in ops/, runs, and returns the fastest run's seconds.
namespace kvasir::testing {

struct Call;

// op_call_rows.cc
double call_add_norm(const Call& call);
double call_embed(const Call& call);
double call_gather_rows(const Call& call);
double call_matmul(const Call& call);
double call_scale_logits(const Call& call);
// op_call_cache.cc
double call_attention(const Call& call);
double call_qk_rope_append(const Call& call);
// op_call_sample.cc
double call_sample(const Call& call);

}  // namespace kvasir::testing
