#include "connectors/files/input_lookup.h"

#include <utility>

namespace weir {

std::shared_ptr<InputLookup> InputLookup::Make(Env& env, std::string path, bool awaited,
                                               std::function<void()> wake) {
  return std::shared_ptr<InputLookup>(
      new InputLookup(env, std::move(path), awaited, std::move(wake)));
}

void InputLookup::Start() {
  env_.RunBlocking([self = shared_from_this()] {
    Inputs found = ListInputs(self->env_.files(), self->path_, self->awaited_);
    MutexLock lock(self->mutex_);
    if (self->wake_ == nullptr) return;
    self->found_ = std::move(found);
    self->wake_();
  });
}

std::optional<InputLookup::Inputs> InputLookup::Take() {
  MutexLock lock(mutex_);
  return std::exchange(found_, std::nullopt);
}

void InputLookup::Close() {
  MutexLock lock(mutex_);
  wake_ = nullptr;
  found_.reset();
}

}  // namespace weir
