#pragma once

#include <concepts>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/async_operator.h"
#include "weir/async_reply.h"
#include "weir/misuse.h"
#include "weir/stream.h"
#include "weir/usage_error.h"

namespace weir {

// A function that asks something outside of the job for each record and answers later (semantics
// rule 51). Derive and override Ask. All calls come from the task's thread.
template <class I, class O>
class AsyncFunction {
 public:
  using In = I;
  using Out = O;

  virtual ~AsyncFunction() = default;
  virtual void Open(FunctionContext&) {}
  // Begins to ask and returns at once; `reply` is answered then or later, from any thread. The
  // record is there until then, or until it was given up. An exception is a failed attempt.
  virtual void Ask(const I& record, AsyncReply<O> reply) = 0;
  // There will be no answer. True: `results` is put out in its place; false: the job fails.
  virtual bool OnFailure(const I& record, const AsyncFailure& failure, std::vector<O>& results) {
    (void)record, (void)failure, (void)results;
    return false;
  }
  // Answers that come after it are ignored.
  virtual void Close() {}
};

// The same with a call that blocks until it has the answer, for clients that know no other way.
// Calls are made in threads of the operator, as many at once as there may be requests in flight;
// each thread has a function of its own, so Call needs no lock.
template <class I, class O>
class BlockingFunction {
 public:
  using In = I;
  using Out = O;

  virtual ~BlockingFunction() = default;
  // Any number of results. An exception is a failed attempt. It should have a time limit of its
  // own: a call that has begun is waited for when the task ends.
  virtual std::vector<O> Call(const I& record) = 0;
  // As in AsyncFunction, but called from the task's thread for a function that makes no calls.
  virtual bool OnFailure(const I& record, const AsyncFailure& failure, std::vector<O>& results) {
    (void)record, (void)failure, (void)results;
    return false;
  }
};

namespace internal {

template <class F, class T>
concept AsyncFunctionOf = requires {
  requires std::same_as<typename F::In, T>;
  requires std::derived_from<F, AsyncFunction<T, typename F::Out>>;
};
template <class F, class T>
concept BlockingFunctionOf = requires {
  requires std::same_as<typename F::In, T>;
  requires std::derived_from<F, BlockingFunction<T, typename F::Out>>;
};

// Makes the calls of a BlockingFunction in threads.
template <class F>
class CallsInThreads final : public AsyncFunction<typename F::In, typename F::Out> {
 public:
  using I = typename F::In;
  using O = typename F::Out;
  using Make = std::function<std::unique_ptr<F>()>;

  CallsInThreads(std::size_t threads, Make make)
      : threads_(threads), make_(std::move(make)), on_failure_(make_()) {}

  void Open(FunctionContext& context) override { context_.emplace(context); }
  void Ask(const I& record, AsyncReply<O> reply) override {
    std::size_t worker = 0;
    {
      const std::lock_guard lock(mutex_);
      calls_.emplace_back(record, std::move(reply));
      if (idle_.empty() && workers_.size() == threads_) return;
      if (!idle_.empty()) {
        worker = idle_.back();
        idle_.pop_back();
      } else {
        worker = workers_.size();
        workers_.push_back({make_(), context_->NewThread()});
      }
    }
    F& function = *workers_[worker].function;
    workers_[worker].thread->Post([this, worker, &function] { MakeCalls(worker, function); });
  }
  bool OnFailure(const I& record, const AsyncFailure& failure, std::vector<O>& results) override {
    return on_failure_->OnFailure(record, failure, results);
  }
  void Close() override {
    {
      const std::lock_guard lock(mutex_);
      calls_.clear();
    }
    workers_.clear();
  }

 private:
  struct Worker {
    std::unique_ptr<F> function;
    // Goes first, and waits for its call.
    std::unique_ptr<OperatorThread> thread;
  };

  void MakeCalls(std::size_t worker, F& function) {
    while (true) {
      std::optional<std::pair<I, AsyncReply<O>>> call;
      {
        const std::lock_guard lock(mutex_);
        if (calls_.empty()) {
          idle_.push_back(worker);
          return;
        }
        call = std::move(calls_.front());
        calls_.pop_front();
      }
      call->second.CompleteWith([&] { return function.Call(call->first); });
    }
  }

  const std::size_t threads_;
  const Make make_;
  const std::unique_ptr<F> on_failure_;
  std::optional<FunctionContext> context_;
  std::vector<Worker> workers_;
  std::mutex mutex_;
  // Those for which no thread was free.
  std::deque<std::pair<I, AsyncReply<O>>> calls_;
  std::vector<std::size_t> idle_;
};

// Makes the AsyncFunction of a step from what the user gave.
template <class T, class F, class... Args>
auto MakeAsync(const AsyncOptions& options, const Args&... args) {
  if constexpr (BlockingFunctionOf<F, T>) {
    return std::make_unique<CallsInThreads<F>>(options.capacity,
                                               [args...] { return std::make_unique<F>(args...); });
  } else {
    return std::make_unique<F>(args...);
  }
}

// Adds the operator of an AsyncFunction A that `make()` makes.
template <class A, class T, class Make>
auto AddAsync(const Stream<T>& stream, GraphBuilder& graph, PlacedUid uid, const char* description,
              const AsyncOptions& options, const std::string& problem, Make make) {
  NodeDefinition node;
  node.uid = std::move(uid.text);
  node.description = description;
  node.answers_later = true;
  node.states.push_back(AsyncOperator<A>::DescribeState());
  if (!problem.empty()) graph.Error(uid.where, "operator '" + node.uid + "': " + problem);
  return stream.template AddOperator<typename A::Out>(
      std::move(node), uid.where, [options, make](std::shared_ptr<const SidePorts> sides) {
        return std::make_unique<AsyncOperator<A>>(make(), options, std::move(sides));
      });
}

}  // namespace internal

template <class T, class Stage>
template <class F, class... Args>
auto Stream<T, Stage>::Async(internal::PlacedUid uid, AsyncOptions options, Args... args) const {
  if constexpr (!internal::AsyncFunctionOf<F, T> && !internal::BlockingFunctionOf<F, T>) {
    return internal::NoAsyncFunction<F>();
  } else if constexpr (CheckRecord<typename F::Out>()) {
    const auto make = [options, args...] { return internal::MakeAsync<T, F>(options, args...); };
    using A = typename decltype(make())::element_type;
    return internal::AddAsync<A, T>(Closed(), *graph_, std::move(uid), "Async", options,
                                    options.Problem(), make);
  } else {
    return internal::AfterMistake();
  }
}

}  // namespace weir
