#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/env/env.h"
#include "connectors/files/input_listing.h"

namespace weir {

// Lists the files of a source on Env's blocking pool, once or again and again. Used and closed on
// the task's thread; the work on the pool shares the object.
class InputLookup : public std::enable_shared_from_this<InputLookup> {
 public:
  using Inputs = absl::StatusOr<std::vector<InputFile>>;

  // `path` and `awaited` as for ListInputs. `wake` is called from the pool when a listing is there;
  // never after Close.
  static std::shared_ptr<InputLookup> Make(Env& env, std::string path, bool awaited,
                                           std::function<void()> wake);
  // Lists anew. Not while a listing is under way or not taken.
  void Start();
  // What Start found, once.
  std::optional<Inputs> Take();
  void Close();

 private:
  InputLookup(Env& env, std::string path, bool awaited, std::function<void()> wake)
      : env_(env), path_(std::move(path)), awaited_(awaited), wake_(std::move(wake)) {}

  Env& env_;
  const std::string path_;
  const bool awaited_;
  Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::optional<Inputs> found_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir
