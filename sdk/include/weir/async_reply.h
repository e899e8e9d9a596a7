#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "weir/time.h"
#include "weir/time_format.h"

namespace weir {

enum class AsyncOrder : std::uint8_t {
  kOrdered,    // results in the order of the records
  kUnordered,  // as answers come; nothing overtakes a watermark
};

// How a step asks what is outside of the job (semantics rule 51).
struct AsyncOptions {
  // Records in a subtask of which the results have not been put out. When there are as many, the
  // records behind them wait, and those who send them.
  std::size_t capacity = 100;
  // From when a record is first asked for until its answer, all attempts together.
  Duration timeout = std::chrono::seconds(60);
  AsyncOrder order = AsyncOrder::kOrdered;
  // How often it is asked if asking fails.
  std::uint32_t attempts = 1;
  // Before the second attempt; twice as long before each that follows, up to `max_backoff`.
  Duration backoff = std::chrono::milliseconds(100);
  Duration max_backoff = std::chrono::seconds(10);

  // Empty, or what is wrong with it.
  std::string Problem() const {
    const auto text = [](Duration duration) { return FormatDuration(duration); };
    if (capacity == 0) return "capacity is 0: it must be at least 1";
    if (timeout <= Duration::zero())
      return "timeout is " + text(timeout) + ": it must be greater than 0";
    if (attempts == 0) return "attempts is 0: it must be at least 1";
    if (backoff <= Duration::zero())
      return "backoff is " + text(backoff) + ": it must be greater than 0";
    if (max_backoff < backoff)
      return "max_backoff (" + text(max_backoff) + ") is less than backoff (" + text(backoff) + ")";
    return "";
  }
};

// Why a record has no answer.
struct AsyncFailure {
  bool timed_out = false;
  // Begun so far.
  std::uint32_t attempts = 0;
  // What the last that failed said; empty if none has.
  std::string reason;
};

namespace internal {

// What a question is answered with: results, or why there are none.
template <class O>
struct AsyncAnswer {
  std::vector<O> results;
  std::string error;
  bool failed = false;
};

// Takes the first answer to one question. One that is forgotten is a failure.
template <class O>
class AsyncQuestion {
 public:
  using Take = std::function<void(AsyncAnswer<O>)>;
  explicit AsyncQuestion(Take take) : take_(std::move(take)) {}
  AsyncQuestion(const AsyncQuestion&) = delete;
  AsyncQuestion& operator=(const AsyncQuestion&) = delete;
  ~AsyncQuestion() {
    if (take_ != nullptr) Answer({{}, "it was not answered: every reply to it is gone", true});
  }
  void Answer(AsyncAnswer<O> answer) {
    Take take;
    {
      const std::lock_guard lock(mutex_);
      take.swap(take_);
    }
    if (take != nullptr) take(std::move(answer));
  }

 private:
  std::mutex mutex_;
  Take take_;
};

}  // namespace internal

// Where the answer to one question goes. A value: copies answer the same question, of which the
// first answer counts. Any thread; never blocks for long.
template <class O>
class AsyncReply {
 public:
  explicit AsyncReply(std::shared_ptr<internal::AsyncQuestion<O>> question)
      : question_(std::move(question)) {}

  void Complete(O result) {
    std::vector<O> results;
    results.push_back(std::move(result));
    Complete(std::move(results));
  }
  // Any number of results, also none.
  void Complete(std::vector<O> results) { question_->Answer({std::move(results), "", false}); }
  // This attempt has failed.
  void Fail(std::string reason) { question_->Answer({{}, std::move(reason), true}); }
  // With what f() returns, an O or a std::vector<O>; what it throws is a failure.
  template <std::invocable F>
  void CompleteWith(F&& f) {
    try {
      Complete(f());
    } catch (const std::exception& error) {
      Fail(error.what());
    } catch (...) {
      Fail("something that is no std::exception was thrown");
    }
  }

 private:
  std::shared_ptr<internal::AsyncQuestion<O>> question_;
};

}  // namespace weir
