#pragma once
// Named values of a JavaScript object, each checked as it is read; a wrong one throws INVALID_ARGUMENT with its name. Numbers are read as
// doubles and range-checked: N-API's integer getters would wrap 2^32 + 1 to 1 in silence.
#include <napi.h>

#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/status.h"

namespace kvasir {

inline constexpr int kMostSize = 1 << 30;

template <class Element>
inline constexpr napi_typedarray_type kArrayType = napi_float32_array;
template <>
inline constexpr napi_typedarray_type kArrayType<double> = napi_float64_array;
template <>
inline constexpr napi_typedarray_type kArrayType<int32_t> = napi_int32_array;
template <>
inline constexpr napi_typedarray_type kArrayType<uint8_t> = napi_uint8_array;

template <class Element>
inline constexpr const char* kArrayName = "a Float32Array";
template <>
inline constexpr const char* kArrayName<double> = "a Float64Array";
template <>
inline constexpr const char* kArrayName<int32_t> = "an Int32Array";
template <>
inline constexpr const char* kArrayName<uint8_t> = "a Uint8Array";

// What a value of the wrong kind is called in the error about it. Runs no JavaScript.
inline const char* kind_name(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_bigint:
      return "a bigint";
    case napi_function:
      return "a function";
    default:
      return value.IsArray() ? "an array" : value.IsTypedArray() ? "a typed array" : "an object";
  }
}

inline int to_integer(const char* name, double value, int least, int most) {
  if (!(value >= least && value <= most) || value != std::floor(value)) {
    fail("INVALID_ARGUMENT", "%s is %g; expected an integer from %d to %d", name, value, least, most);
  }
  return static_cast<int>(value);
}

inline double number_value(const char* name, Napi::Value value) {
  if (!value.IsNumber()) fail("INVALID_ARGUMENT", "%s is %s; expected a number", name, kind_name(value));
  return value.As<Napi::Number>().DoubleValue();
}

inline int integer_value(const char* name, Napi::Value value, int least, int most) {
  return to_integer(name, number_value(name, value), least, most);
}

template <class Element>
std::span<Element> array_value(const char* name, Napi::Value value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != kArrayType<Element>) {
    fail("INVALID_ARGUMENT", "%s is %s; expected %s", name, kind_name(value), kArrayName<Element>);
  }
  auto array = value.As<Napi::TypedArrayOf<Element>>();
  return {array.Data(), array.ElementLength()};
}

// Of `expected` elements.
template <class Element>
std::span<Element> array_value(const char* name, Napi::Value value, size_t expected) {
  const std::span<Element> span = array_value<Element>(name, value);
  if (span.size() != expected) fail("INVALID_ARGUMENT", "%s has %zu elements; expected %zu", name, span.size(), expected);
  return span;
}

class Args {
 public:
  explicit Args(Napi::Object object) : object_(object) {}

  bool has(const char* name) const { return !object_.Get(name).IsUndefined(); }

  // A typed array of any length, or of `expected` elements. JavaScript may change it or take it away whenever it runs, be it in the
  // getter of another argument: copy it at once, or read it from a copy without getters.
  template <class Element>
  std::span<Element> any_array(const char* name) const {
    return array_value<Element>(name, object_.Get(name));
  }
  template <class Element>
  std::span<Element> array(const char* name, size_t expected) const {
    return array_value<Element>(name, object_.Get(name), expected);
  }
  template <class Element>
  std::span<Element> optional(const char* name) const {
    return has(name) ? any_array<Element>(name) : std::span<Element>();
  }

  double number(const char* name, std::optional<double> fallback = {}) const {
    if (fallback && !has(name)) return *fallback;
    return number_value(name, object_.Get(name));
  }
  int integer(const char* name, int least, int most, std::optional<int> fallback = {}) const {
    return to_integer(name, number(name, fallback), least, most);
  }
  double number_in(const char* name, double least, double most) const {
    const double value = number(name);
    if (!(value >= least && value <= most)) fail("INVALID_ARGUMENT", "%s is %g; expected %g to %g", name, value, least, most);
    return value;
  }
  // A factor of the model's arithmetic: finite, and far from float32's ends.
  float factor(const char* name) const { return static_cast<float>(number_in(name, -1e30, 1e30)); }
  // A file offset or size: an integer from 0 to 2^53 - 1.
  int64_t long_integer(const char* name) const {
    const double value = number(name);
    if (!(value >= 0 && value <= 0x1p53 - 1) || value != std::floor(value))
      fail("INVALID_ARGUMENT", "%s is %g; expected an integer from 0 to 2^53 - 1", name, value);
    return static_cast<int64_t>(value);
  }
  // A plain array of numbers.
  std::vector<double> numbers(const char* name, uint32_t most) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsArray()) fail("INVALID_ARGUMENT", "%s is %s; expected an array of numbers", name, kind_name(value));
    const uint32_t count = value.As<Napi::Array>().Length();
    if (count > most) fail("INVALID_ARGUMENT", "%s has %u numbers; expected at most %u", name, count, most);
    std::vector<double> numbers;
    for (uint32_t i = 0; i < count; ++i) {
      const Napi::Value entry = value.As<Napi::Array>().Get(i);
      if (!entry.IsNumber()) fail("INVALID_ARGUMENT", "%s[%u] is %s; expected a number", name, i, kind_name(entry));
      numbers.push_back(entry.As<Napi::Number>().DoubleValue());
    }
    return numbers;
  }
  Args object(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsObject()) fail("INVALID_ARGUMENT", "%s is %s; expected an object", name, kind_name(value));
    return Args(value.As<Napi::Object>());
  }
  bool flag(const char* name) const { return has(name) && object_.Get(name).ToBoolean(); }
  uint64_t seed(const char* name) const {
    if (!has(name)) return 0;
    bool lossless = false;
    const Napi::Value value = object_.Get(name);
    const uint64_t bits = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
    const char* what = value.IsBigInt() ? "beyond its range" : kind_name(value);
    if (!lossless) fail("INVALID_ARGUMENT", "%s is %s; expected a bigint from 0 to 2^64 - 1", name, what);
    return bits;
  }
  std::string text(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsString()) fail("INVALID_ARGUMENT", "%s is %s; expected a string", name, kind_name(value));
    return value.As<Napi::String>();
  }
  // The place of a string among `choices`.
  int choice(const char* name, const std::vector<const char*>& choices) const {
    const std::string value = text(name);
    std::string names;
    int place = 0;
    for (const char* choice : choices) {
      if (value == choice) return place;
      names += (place++ == 0 ? "" : ", ") + std::string(choice);
    }
    fail("INVALID_ARGUMENT", "%s is %s; expected one of %s", name, value.c_str(), names.c_str());
  }
  DType dtype(const char* name) const {
    std::vector<const char*> names;
    for (const DTypeInfo& type : kDTypes) names.push_back(type.name);
    return static_cast<DType>(choice(name, names));
  }

  // An array of objects.
  std::vector<Args> list(const char* name, uint32_t least, uint32_t most) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsArray()) fail("INVALID_ARGUMENT", "%s is %s; expected an array of objects", name, kind_name(value));
    const uint32_t length = value.As<Napi::Array>().Length();
    if (length < least || length > most) fail("INVALID_ARGUMENT", "%s has %u entries; expected %u to %u", name, length, least, most);
    std::vector<Args> entries;
    for (uint32_t i = 0; i < length; ++i) {
      const Napi::Value entry = value.As<Napi::Array>().Get(i);
      if (!entry.IsObject()) fail("INVALID_ARGUMENT", "%s[%u] is %s; expected an object", name, i, kind_name(entry));
      entries.emplace_back(entry.As<Napi::Object>());
    }
    return entries;
  }

 private:
  Napi::Object object_;
};

// Throws unless all ids are in [0, limit).
inline void check_ids(const char* name, std::span<const int32_t> ids, int64_t limit) {
  for (int32_t id : ids) {
    if (id < 0 || id >= limit) fail("INVALID_ARGUMENT", "%s has %d; expected 0 to %lld", name, id, static_cast<long long>(limit - 1));
  }
}

}  // namespace kvasir
