#pragma once
// Every refusal of the native code is an Error with one of the codes of lib/errors.ts (test/structure.test.ts compares the lists).
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

namespace kvasir {

class Error : public std::exception {
 public:
  // `code` is one of the names in lib/errors.ts.
  Error(const char* code, std::string message) : code_(code), message_(std::move(message)) {}
  const char* code() const noexcept { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  const char* code_;
  std::string message_;
};

// Throws an Error whose message is formatted as by printf.
[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(const char* code, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Error(code, text);
}

}  // namespace kvasir
