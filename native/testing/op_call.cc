#include "testing/op_call.h"

#include "addon/backends.h"
#include "testing/op_call_args.h"
#include "testing/op_call_ops.h"

namespace kvasir::testing {
namespace {

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

const struct {
  const char* name;
  double (*call)(const Call&);
} kOps[] = {{"add_norm", call_add_norm},
            {"attention", call_attention},
            {"embed", call_embed},
            {"gather_rows", call_gather_rows},
            {"matmul", call_matmul},
            {"scale_logits", call_scale_logits},
            {"qk_rope_append", call_qk_rope_append},
            {"sample", call_sample}};

double run(const std::string& name, const Args& options, Napi::Object args) {
  for (const auto& op : kOps) {
    if (name != op.name) continue;
    const int threads = options.integer("threads", 1, 256), repeat = options.integer("repeat", 1, kMostSize, 1);
    DeviceConfig device{.kind = options.has("device") ? options.text("device") : "cpu", .isa = options.text("isa"), .threads = threads};
    TeamSize team;
    if (device.kind == "team") {
      team = {options.integer("blocks", 1, 64), threads};
      device.kind = "cpu";
    }
    if (device.kind != "cpu" && name != "sample")
      fail("INVALID_ARGUMENT", "op is %s; expected sample on device %s", name.c_str(), device.kind.c_str());
    const auto backend = create_backend(device);
    backend->enter_thread();
    return op.call({*backend, device.isa, repeat, team, device.kind != "cpu", Args(plain_copy(args))});
  }
  fail("INVALID_ARGUMENT", "op is %s; expected a name of ops/", name.c_str());
}

}  // namespace

Napi::Value op_call(const Napi::CallbackInfo& info) {
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsObject() || !info[2].IsObject()) {
    fail("INVALID_ARGUMENT", "op takes a name, options and arguments");
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("seconds", run(info[0].As<Napi::String>(), Args(info[1].As<Napi::Object>()), info[2].As<Napi::Object>()));
  return result;
}

}  // namespace kvasir::testing
