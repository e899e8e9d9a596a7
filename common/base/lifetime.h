#pragma once

#include <memory>
#include <utility>

namespace weir {

// A member that makes callbacks harmless once their object is gone: what Guard returns does nothing
// after End or the destructor. For callbacks that run on the object's own executor, and an object
// that is destroyed there or when nothing of it runs any more; it does not wait for a callback that
// runs on another thread.
class Lifetime {
 public:
  Lifetime() : token_(std::make_shared<char>()) {}
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;

  void End() { token_.reset(); }

  template <class F>
  auto Guard(F f) const {
    return [token = std::weak_ptr<char>(token_), f = std::move(f)](auto&&... args) mutable {
      if (!token.expired()) f(std::forward<decltype(args)>(args)...);
    };
  }
  // The same for callbacks that are called through const, such as what std::function in a const
  // lambda holds.
  template <class F>
  auto GuardConst(F f) const {
    return [token = std::weak_ptr<char>(token_), f = std::move(f)](auto&&... args) {
      if (!token.expired()) f(std::forward<decltype(args)>(args)...);
    };
  }

 private:
  std::shared_ptr<char> token_;
};

}  // namespace weir
