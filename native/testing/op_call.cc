#include "addon/op_call.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <vector>

#include "addon/args.h"
#include "addon/config_reader.h"
#include "addon/errors.h"
#include "cpu/cpu_backend.h"
#include "cpu/sample.h"
#include "ops/add.h"
#include "ops/append_kv.h"
#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/glu.h"
#include "ops/matmul.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"

namespace kvasir {
namespace {

// Runs an op as often as asked; returns the fastest time in seconds.
double best_time(int repeat, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Elements of an array of this shape.
size_t elements(std::initializer_list<int> shape) {
  size_t product = 1;
  for (int size : shape) {
    if (__builtin_mul_overflow(product, static_cast<size_t>(size), &product))
      fail("INVALID_ARGUMENT", "the sizes multiply to 2^64 or more");
  }
  return product;
}

// The same values behind no getter: whoever reads the copy runs no JavaScript that could change or detach an array read before.
Napi::Object plain_copy(Napi::Object source, int depth = 0) {
  if (depth > 3) fail("INVALID_ARGUMENT", "the arguments are nested more than three deep");
  Napi::Object copy = source.IsArray() ? Napi::Array::New(source.Env()) : Napi::Object::New(source.Env());
  const Napi::Array names = source.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const Napi::Value name = names.Get(i), value = source.Get(name);
    copy.Set(name, value.IsObject() && !value.IsTypedArray() ? plain_copy(value.As<Napi::Object>(), depth + 1) : value);
  }
  return copy;
}

struct Call {
  Backend& backend;
  int repeat;
  Args args;
};

double call_add(const Call& call) {
  const auto x = call.args.any_array<float>("x");
  const Add op{x.data(), call.args.array<float>("y", x.size()).data(), x.size()};
  return best_time(call.repeat, [&] { call.backend.add(op); });
}

double call_glu(const Call& call) {
  const auto gate = call.args.any_array<float>("gate");
  const size_t count = gate.size();
  const auto activation = static_cast<Activation>(call.args.choice("activation", {"silu", "gelu_tanh"}));
  const Glu op{gate.data(), call.args.array<float>("up", count).data(), call.args.array<float>("y", count).data(), count, activation};
  return best_time(call.repeat, [&] { call.backend.glu(op); });
}

double call_rmsnorm(const Call& call) {
  const int rows = call.args.integer("rows", 0, kMostSize), cols = call.args.integer("cols", 1, kMostSize);
  const size_t size = elements({rows, cols});
  const RmsNorm op{call.args.array<float>("x", size).data(),
                   call.args.array<float>("weight", size_t(cols)).data(),
                   call.args.array<float>("y", size).data(),
                   rows,
                   cols,
                   static_cast<float>(call.args.number("epsilon"))};
  return best_time(call.repeat, [&] { call.backend.rmsnorm(op); });
}

double call_rope(const Call& call) {
  const Args& args = call.args;
  const int count = args.integer("count", 0, kMostSize), heads = args.integer("heads", 1, kMostSize);
  const int head_size = args.integer("headSize", 2, kMostSize), pairs = args.integer("pairs", 0, head_size / 2);
  const Rope op{args.array<float>("x", elements({count, heads, head_size})).data(),
                args.array<int32_t>("positions", size_t(count)).data(),
                args.array<float>("frequencies", size_t(pairs)).data(),
                count,
                heads,
                head_size,
                pairs,
                static_cast<float>(args.number("scale")),
                args.flag("interleaved")};
  return best_time(call.repeat, [&] { call.backend.rope(op); });
}

// A matrix [rows, cols] packed from the file's layout.
std::unique_ptr<Weight> pack_weight(Backend& backend, const Args& args, const char* name, int cols) {
  const DType type = args.dtype("type");
  const int rows = args.integer("rows", 1, kMostSize);
  if (cols % kvasir::info(type).block != 0) {
    fail("INVALID_ARGUMENT", "cols is %d; %s needs a multiple of %d", cols, kvasir::info(type).name, kvasir::info(type).block);
  }
  const auto bytes = args.array<uint8_t>(name, size_t(rows) * (size_t(cols) / kvasir::info(type).block) * kvasir::info(type).bytes);
  auto weight = backend.create_weight(type, rows, cols);
  backend.pack_rows(*weight, 0, rows, bytes.data());
  return weight;
}

double call_embed(const Call& call) {
  const Args& args = call.args;
  const int cols = args.integer("cols", 1, kMostSize), count = args.integer("count", 0, kMostSize);
  const auto table = pack_weight(call.backend, args, "table", cols);
  const auto tokens = args.array<int32_t>("tokens", size_t(count));
  check_ids("tokens", tokens, table->rows);
  const Embed op{table.get(), tokens.data(), count, static_cast<float>(args.number("scale")),
                 args.array<float>("y", size_t(count) * cols).data()};
  return best_time(call.repeat, [&] { call.backend.embed(op); });
}

double call_matmul(const Call& call) {
  const Args& args = call.args;
  const int count = args.integer("count", 0, kMostSize), cols = args.integer("cols", 1, kMostSize);
  const auto x = args.array<float>("x", size_t(count) * cols);
  const auto compute = static_cast<Compute>(args.choice("compute", {"f32", "bf16", "int8"}));
  std::vector<std::unique_ptr<Weight>> weights;
  std::vector<Projection> outputs;
  for (const Args& output : args.list("outputs", 1, 3)) {
    weights.push_back(pack_weight(call.backend, output, "weight", cols));
    const size_t rows = size_t(weights.back()->rows);
    const float* bias = output.has("bias") ? output.array<float>("bias", rows).data() : nullptr;
    outputs.push_back({weights.back().get(), bias, output.array<float>("y", size_t(count) * rows).data()});
  }
  const Matmul op{x.data(), count, compute, outputs};
  return best_time(call.repeat, [&] { call.backend.matmul(op); });
}

// What append_kv and attention share: rows, page tables and one layer's pages, checked against each other.
struct Paged {
  Rows rows;
  PageTables tables;
  KvLayer cache;
  int tokens;
};

void check_row(const Paged& paged, std::span<const int32_t> pages, int64_t page_count, int row, int window) {
  const int32_t *q = paged.rows.indptr + row, *kv = paged.tables.indptr + row;
  const int64_t start = paged.rows.starts[row], stop = start + q[1] - q[0], first = paged.tables.first[row], P = paged.cache.page_size;
  const int64_t seen = window > 0 ? std::max<int64_t>(0, start - window + 1) : 0;
  const bool ordered =
      q[0] >= 0 && q[1] >= q[0] && kv[0] >= 0 && kv[1] >= kv[0] && size_t(kv[1]) <= pages.size() && start >= 0 && first >= 0;
  if (!ordered || first * P > seen || (first + kv[1] - kv[0]) * P < stop || stop > kMostSize) {
    fail("INVALID_ARGUMENT", "row %d: its pages do not cover the positions %lld to %lld", row, static_cast<long long>(seen),
         static_cast<long long>(stop));
  }
  check_ids("pages", pages.subspan(size_t(kv[0]), size_t(kv[1] - kv[0])), page_count);
}

Paged paged(const Args& args, int window) {
  const auto indptr = args.any_array<int32_t>("indptr");
  if (indptr.empty() || indptr[0] != 0) fail("INVALID_ARGUMENT", "indptr starts with 0");
  const size_t B = indptr.size() - 1;
  const DType type = args.dtype("type");
  if (is_quantized(type)) fail("INVALID_ARGUMENT", "type is %s; F32, F16 and BF16 are right", kvasir::info(type).name);
  const int heads = args.integer("kvHeads", 1, 1024), D = args.integer("headSize", 1, 4096), P = args.integer("pageSize", 16, 4096);
  if (P % 16 != 0) fail("INVALID_ARGUMENT", "pageSize is %d; a multiple of 16 is right", P);
  const auto k = args.any_array<uint8_t>("kCache"), v = args.array<uint8_t>("vCache", k.size()), page = k;
  const int64_t page_count = static_cast<int64_t>(page.size() / (size_t(heads) * D * P * kvasir::info(type).bytes));
  const auto pages = args.any_array<int32_t>("pages");
  const Paged result{{static_cast<int>(B), indptr.data(), args.array<int32_t>("starts", B).data()},
                     {args.array<int32_t>("pageIndptr", B + 1).data(), args.array<int32_t>("pageFirst", B).data(), pages.data()},
                     {k.data(), v.data(), type, heads, D, P, int64_t(heads) * D * P},
                     indptr[B]};
  for (size_t row = 0; row < B; ++row) check_row(result, pages, page_count, static_cast<int>(row), window);
  return result;
}

double call_append_kv(const Call& call) {
  const Paged p = paged(call.args, 1);
  const size_t size = elements({p.tokens, p.cache.kv_heads, p.cache.head_size});
  const AppendKv op{call.args.array<float>("k", size).data(), call.args.array<float>("v", size).data(), p.rows, p.tables, p.cache};
  return best_time(call.repeat, [&] { call.backend.append_kv(op); });
}

double call_attention(const Call& call) {
  const Args& args = call.args;
  const int window = args.integer("window", 0, kMostSize), heads = args.integer("queryHeads", 1, 4096);
  const Paged p = paged(args, window);
  if (heads % p.cache.kv_heads != 0)
    fail("INVALID_ARGUMENT", "queryHeads is %d; a multiple of kvHeads (%d) is right", heads, p.cache.kv_heads);
  const size_t size = elements({p.tokens, heads, p.cache.head_size});
  const Attention op{args.array<float>("q", size).data(),
                     args.array<float>("out", size).data(),
                     p.rows,
                     p.tables,
                     p.cache,
                     heads,
                     static_cast<float>(args.number("scale")),
                     window};
  return best_time(call.repeat, [&] { call.backend.attention(op); });
}

// Tokens with a number each: seenTokens and seenCounts, biasTokens and biasValues.
template <class Pair, class Number>
std::vector<Pair> token_pairs(const Args& args, const char* tokens_name, const char* numbers_name, int vocab) {
  if (!args.has(tokens_name)) return {};
  const auto tokens = args.any_array<int32_t>(tokens_name);
  const auto numbers = args.array<Number>(numbers_name, tokens.size());
  check_ids(tokens_name, tokens, vocab);
  std::vector<Pair> pairs;
  for (size_t i = 0; i < tokens.size(); ++i) pairs.push_back({tokens[i], numbers[i]});
  return pairs;
}

// logits [rows, V], all rows with the same parameters; row r draws place `place` + r. `kept`, if given, [V] for one row: 1 for what the
// stages leave. Results, where given: token, logprob, logSum [rows], topTokens and topLogprobs [rows, top].
double call_sample(const Call& call) {
  const Args& args = call.args;
  const int rows = args.integer("rows", 1, kMostSize), vocab = args.integer("vocab", 1, kMostSize), top = args.integer("top", 0, 1024, 0);
  const auto logits = args.array<float>("logits", size_t(rows) * vocab);
  const SampleParams defaults, params = read_sample_params(args, &defaults);
  const auto seen = token_pairs<TokenCount, int32_t>(args, "seenTokens", "seenCounts", vocab);
  const auto biases = token_pairs<TokenBias, float>(args, "biasTokens", "biasValues", vocab);
  const auto banned = args.optional<int32_t>("banned");
  check_ids("banned", banned, vocab);
  const auto tokens = args.array<int32_t>("token", size_t(rows));
  const auto logprobs = args.array<float>("logprob", size_t(rows));
  const auto log_sums = args.array<double>("logSum", size_t(rows));
  const auto top_tokens = args.array<int32_t>("topTokens", size_t(rows) * top);
  const auto top_logprobs = args.array<float>("topLogprobs", size_t(rows) * top);
  const uint64_t seed = args.seed("seed"), place = static_cast<uint64_t>(args.integer("place", 0, kMostSize, 0));
  std::vector<SampleRow> sample_rows;
  for (size_t r = 0; r < size_t(rows); ++r) {
    sample_rows.push_back({logits.data() + r * vocab, &params, seen, biases, banned, seed, place + r, args.flag("wantLogprobs"),
                           args.flag("wantAdjust"), args.flag("wantChoose"), top, &tokens[r], &logprobs[r], top_tokens.data() + r * top,
                           top_logprobs.data() + r * top, &log_sums[r]});
  }
  const Sample op{sample_rows, vocab};
  const double seconds = best_time(call.repeat, [&] { call.backend.sample(op); });
  if (args.has("kept")) {  // nothing at temperature 0, where no stage runs
    const auto kept = args.array<uint8_t>("kept", size_t(vocab));
    std::fill(kept.begin(), kept.end(), uint8_t(0));
    if (params.temperature > 0) {
      for (int32_t token : cpu::Sampler::kept_tokens(logits.first(size_t(vocab)), params)) kept[size_t(token)] = 1;
    }
  }
  return seconds;
}

const struct {
  const char* name;
  double (*call)(const Call&);
} kOps[] = {{"add", call_add},      {"append_kv", call_append_kv}, {"attention", call_attention}, {"embed", call_embed},
            {"glu", call_glu},      {"matmul", call_matmul},       {"rmsnorm", call_rmsnorm},     {"rope", call_rope},
            {"sample", call_sample}};

double run_op(const Napi::CallbackInfo& info) {
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsObject() || !info[2].IsObject()) {
    fail("INVALID_ARGUMENT", "op takes a name, options and arguments");
  }
  const std::string name = info[0].As<Napi::String>();
  const Args options(info[1].As<Napi::Object>());
  for (const auto& op : kOps) {
    if (name != op.name) continue;
    const auto backend = cpu::create_backend(options.text("isa"), options.integer("threads", 1, 256));
    return op.call({*backend, options.integer("repeat", 1, kMostSize, 1), Args(plain_copy(info[2].As<Napi::Object>()))});
  }
  fail("INVALID_ARGUMENT", "there is no op %s", name.c_str());
}

}  // namespace

Napi::Value op_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("seconds", run_op(info));
    return result;
  });
}

}  // namespace kvasir
