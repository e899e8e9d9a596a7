#pragma once

#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/lib/job_manager_client.h"
#include "common/env/env.h"

namespace weir {

// A JobManagerClient for one thread that may block: each call waits for its answer. Owns the
// executor on which the client lives. Used on one thread, which is not that executor's.
class Session {
 public:
  Session(Env& env, ClientOptions options) : executor_(env.NewExecutor("client")) {
    Await<bool>([&](auto done) {
      client_ = std::make_unique<JobManagerClient>(env, *executor_, std::move(options));
      done(true);
    });
  }
  ~Session() {
    Await<bool>([&](auto done) {
      client_.reset();
      done(true);
    });
    executor_->Shutdown();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Runs `start(client, done)` on the client's executor and waits until `done` has been called.
  template <class T, class F>
  absl::StatusOr<T> Call(F start) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
    auto future = promise->get_future();
    executor_->Post([this, &start, promise] {
      start(*client_, ClientCallback<T>([promise](absl::StatusOr<T>&& result) {
        promise->set_value(std::move(result));
      }));
    });
    return future.get();
  }

  // Returns after `delay`.
  void Wait(absl::Duration delay) {
    std::promise<void> promise;
    executor_->PostAfter(delay, [&promise] { promise.set_value(); });
    promise.get_future().get();
  }

 private:
  template <class T, class F>
  T Await(F start) {
    std::promise<T> promise;
    executor_->Post([&] { start([&](T value) { promise.set_value(std::move(value)); }); });
    return promise.get_future().get();
  }

  std::unique_ptr<Executor> executor_;
  std::unique_ptr<JobManagerClient> client_;
};

}  // namespace weir
