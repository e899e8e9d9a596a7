#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async_reply.h"
#include "weir/codec.h"
#include "weir/functions.h"
#include "weir/json_write.h"
#include "weir/operator.h"
#include "weir/operator_list.h"
#include "weir/results.h"
#include "weir/thrown.h"
#include "weir/window.h"

namespace weir::internal {

// Answers on their way from any thread to the operator, which may be gone.
template <class O>
class AsyncMailbox {
 public:
  struct Item {
    std::uint64_t request = 0;
    std::uint32_t attempt = 0;
    AsyncAnswer<O> answer;
  };
  explicit AsyncMailbox(OperatorContext& context) : context_(&context) {}
  void Put(Item item) {
    const std::lock_guard lock(mutex_);
    if (context_ == nullptr) return;
    items_.push_back(std::move(item));
    if (items_.size() == 1) context_->WakeNow();
  }
  std::vector<Item> TakeAll() {
    const std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    context_ = nullptr;
    items_.clear();
  }

 private:
  std::mutex mutex_;
  OperatorContext* context_;
  std::vector<Item> items_;
};

// What is still to be answered, as it is written: asked again by whoever reads it.
template <class T>
struct AsyncPending {
  T record{};
  EventTime timestamp;
};

// Runs an AsyncFunction (semantics rule 51). Records between two marks are a segment: what is put
// out is of the first segment only, and the mark behind that passes once the segment is empty.
template <class F>
class AsyncOperator final : public Operator {
 public:
  using T = typename F::In;
  using O = typename F::Out;

  AsyncOperator(std::unique_ptr<F> function, AsyncOptions options,
                std::shared_ptr<const SidePorts> ports)
      : function_(std::move(function)),
        options_(options),
        ports_(std::move(ports)),
        pending_(*this),
        segments_(1) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    mailbox_ = std::make_shared<AsyncMailbox<O>>(context);
    retries_ = &context.metrics().counter("asyncRetries");
    timeouts_ = &context.metrics().counter("asyncTimeouts");
    in_flight_ = &context.metrics().gauge("asyncInFlight");
    if constexpr (requires { function_->OpenThreads(context); }) function_->OpenThreads(context);
    FunctionContext function_context(context);
    function_->Open(function_context);
    opened_ = true;
    return absl::OkStatus();
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<T>&>(base);
    AddRestored();
    for (std::size_t i = 0; i < batch.records.size(); ++i)
      Add(std::move(batch.records[i]), batch.TimestampAt(i));
    AskWaiting();
    return absl::OkStatus();
  }
  absl::StatusOr<bool> OnWake() override {
    AddRestored();
    AskWaiting();
    return Advance();
  }
  absl::StatusOr<bool> OnProcessingTime(Ticks) override { return OnWake(); }
  absl::StatusOr<bool> Finish() override {
    absl::StatusOr<bool> done = OnWake();
    if (done.ok() && *done) done = requests_.empty() && passed_ == 0;
    return done;
  }
  void Close() override {
    if (mailbox_ != nullptr) mailbox_->Close();
    if (opened_) function_->Close();
    opened_ = false;
  }

  void OnMark() override {
    AddRestored();
    segments_.emplace_back();
    PassMarks();  // at once if nothing is before it
  }
  std::size_t TakePassed() override { return std::exchange(passed_, 0); }
  bool Full() const override { return requests_.size() >= options_.capacity; }

  std::vector<OperatorListState*> list_state() override { return {&pending_}; }

 private:
  struct Request {
    T record;
    Ticks timestamp = kMinTicks;
    std::uint64_t segment = 0;
    // 0: it waits for its turn.
    std::uint32_t attempts = 0;
    Ticks deadline = kMaxTicks;
    bool answered = false;
    std::string error;
    std::vector<O> results;
  };
  struct Segment {
    std::size_t left = 0;
    // In the order in which they are put out, if that is as they were answered.
    std::deque<std::uint64_t> answered;
  };

  // The requests that are not answered, as a list that is dealt out.
  class Pending final : public OperatorListMember {
   public:
    explicit Pending(AsyncOperator& op) : op_(op) {}
    const std::string& name() const override { return name_; }
    const std::string& type() const override { return type_; }
    std::string evolution() const override {
      return TypeNotation<AsyncPending<T>, EvolvingFields>();
    }
    Redistribution redistribution() const override { return Redistribution::kSplit; }
    void Write(std::vector<std::string>& items) const override {
      for (const AsyncPending<T>& restored : op_.restored_)
        EncodeValue(restored, items.emplace_back());
      for (const auto& [id, request] : op_.requests_) {
        EncodeValue(AsyncPending<T>{request.record, EventTime::FromTicks(request.timestamp)},
                    items.emplace_back());
      }
    }
    absl::Status Read(const std::vector<std::string_view>& items) override {
      for (const std::string_view item : items) {
        const absl::Status status = DecodeValue(item, op_.restored_.emplace_back());
        if (!status.ok()) {
          return absl::DataLossError("state 'requests': " +
                                     std::string(status.message().data(), status.message().size()));
        }
      }
      if (!items.empty()) op_.context_->WakeNow();
      return absl::OkStatus();
    }

   private:
    AsyncOperator& op_;
    const std::string name_ = "requests";
    const std::string type_ = TypeNotation<AsyncPending<T>>();
  };

 public:
  static StateDefinition DescribeState() {
    return {"requests", "split<" + TypeNotation<AsyncPending<T>>() + ">",
            "split<" + TypeNotation<AsyncPending<T>, EvolvingFields>() + ">"};
  }

 private:
  void AddRestored() {
    if (restored_.empty()) return;
    for (AsyncPending<T>& restored : std::exchange(restored_, {}))
      Add(std::move(restored.record), restored.timestamp.ticks());
  }
  void Add(T record, Ticks timestamp) {
    Request& request = requests_.try_emplace(requests_.end(), next_id_)->second;
    request.record = std::move(record);
    request.timestamp = timestamp;
    request.segment = first_segment_ + segments_.size() - 1;
    ++segments_.back().left;
    waiting_.push_back(next_id_++);
  }

  // ---- Asking.

  void AskWaiting() {
    const Ticks now = context_->ProcessingTime();
    // All before the first that waits have been asked.
    while (!waiting_.empty() && requests_.size() - waiting_.size() < options_.capacity) {
      const std::uint64_t id = waiting_.front();
      waiting_.pop_front();
      Request& request = requests_.at(id);
      request.deadline = SaturatingAdd(now, options_.timeout.count());
      deadlines_.emplace_back(request.deadline, id);
      Ask(id, request);
    }
    in_flight_->Set(static_cast<std::int64_t>(requests_.size() - waiting_.size()));
    SetWakeup();
  }
  void Ask(std::uint64_t id, Request& request) {
    const std::uint32_t attempt = ++request.attempts;
    AsyncReply<O> reply(std::make_shared<AsyncQuestion<O>>(
        [mailbox = mailbox_, id, attempt](AsyncAnswer<O> answer) {
          mailbox->Put({id, attempt, std::move(answer)});
        }));
    try {
      function_->Ask(request.record, reply);
    } catch (const std::exception& error) {
      reply.Fail(error.what());
    } catch (...) {
      TellThrownOn(*context_, request.record);
      throw;
    }
  }

  // ---- Answers.

  // False: stopped for a blocked output.
  absl::StatusOr<bool> Advance() {
    for (auto& item : mailbox_->TakeAll()) TakeAnswer(item);
    const Ticks now = context_->ProcessingTime();
    while (!retry_at_.empty() && retry_at_.begin()->first < now) {
      const std::uint64_t id = retry_at_.begin()->second;
      retry_at_.erase(retry_at_.begin());
      const auto request = requests_.find(id);
      if (request == requests_.end() || request->second.answered) continue;
      retries_->Add();
      Ask(id, request->second);
    }
    while (!deadlines_.empty() && deadlines_.front().first < now) {
      const auto request = requests_.find(deadlines_.front().second);
      deadlines_.pop_front();
      if (request == requests_.end() || request->second.answered) continue;
      timeouts_->Add();
      GiveUp(request->first, request->second, /*timed_out=*/true);
    }
    const bool done = PutOut();
    AskWaiting();
    WEIR_SDK_RETURN_IF_ERROR(results_.Flush());
    return done;
  }
  void TakeAnswer(typename AsyncMailbox<O>::Item& item) {
    const auto found = requests_.find(item.request);
    if (found == requests_.end()) return;
    Request& request = found->second;
    // An attempt that was given up for another one may not be answered any more.
    if (request.answered || request.attempts != item.attempt) return;
    if (!item.answer.failed) {
      request.results = std::move(item.answer.results);
      Answered(item.request, request);
      return;
    }
    request.error = std::move(item.answer.error);
    if (request.attempts >= options_.attempts) {
      GiveUp(item.request, request, /*timed_out=*/false);
      return;
    }
    Ticks backoff = options_.backoff.count();
    for (std::uint32_t i = 1; i < request.attempts && backoff < options_.max_backoff.count(); ++i)
      backoff = std::min(SaturatingAdd(backoff, backoff), Ticks{options_.max_backoff.count()});
    retry_at_.emplace(SaturatingAdd(context_->ProcessingTime(), backoff), item.request);
  }
  void GiveUp(std::uint64_t id, Request& request, bool timed_out) {
    const AsyncFailure failure{timed_out, request.attempts, request.error};
    request.results.clear();
    bool handled = false;
    try {
      handled = function_->OnFailure(request.record, failure, request.results);
    } catch (...) {
      TellThrownOn(*context_, request.record);
      throw;
    }
    if (handled) {
      Answered(id, request);
      return;
    }
    std::string text =
        timed_out ? "no answer within " + FormatDuration(options_.timeout) : "asking failed";
    text += " (" + std::to_string(request.attempts) +
            (request.attempts == 1 ? " attempt)" : " attempts)");
    if (!request.error.empty()) text += ": " + request.error;
    text += "; the record: ";
    WriteJsonValue(request.record, text);
    throw std::runtime_error(text + "; override OnFailure to go on without its answer");
  }
  void Answered(std::uint64_t id, Request& request) {
    request.answered = true;
    if (options_.order == AsyncOrder::kUnordered)
      segments_[request.segment - first_segment_].answered.push_back(id);
  }

  // ---- Results.

  bool PutOut() {
    Segment& first = segments_.front();
    while (first.left > 0) {
      auto next = requests_.begin();
      if (options_.order == AsyncOrder::kUnordered) {
        if (first.answered.empty()) return true;
        next = requests_.find(first.answered.front());
      }
      if (!next->second.answered) return true;
      if (results_.Blocked()) return false;
      if (options_.order == AsyncOrder::kUnordered) first.answered.pop_front();
      for (O& result : next->second.results)
        results_.Emit(std::move(result), next->second.timestamp);
      requests_.erase(next);
      --first.left;
    }
    PassMarks();
    return true;
  }
  // One at a time: what comes behind it is not put out before it was told.
  void PassMarks() {
    if (segments_.size() == 1 || segments_.front().left > 0) return;
    segments_.pop_front();
    ++first_segment_;
    ++passed_;
    context_->WakeNow();
  }

  void SetWakeup() {
    while (!deadlines_.empty()) {
      const auto request = requests_.find(deadlines_.front().second);
      if (request != requests_.end() && !request->second.answered) break;
      deadlines_.pop_front();
    }
    Ticks at = deadlines_.empty() ? kMaxTicks : deadlines_.front().first;
    if (!retry_at_.empty()) at = std::min(at, retry_at_.begin()->first);
    context_->WakeAt(at);
  }

  const std::unique_ptr<F> function_;
  const AsyncOptions options_;
  const std::shared_ptr<const SidePorts> ports_;
  Pending pending_;
  OperatorContext* context_ = nullptr;
  Results<O> results_;
  std::shared_ptr<AsyncMailbox<O>> mailbox_;
  Counter* retries_ = nullptr;
  Counter* timeouts_ = nullptr;
  Gauge* in_flight_ = nullptr;
  bool opened_ = false;

  std::vector<AsyncPending<T>> restored_;
  // By arrival, until the results are put out.
  std::map<std::uint64_t, Request> requests_;
  std::uint64_t next_id_ = 0;
  // The last of them, which have not been asked.
  std::deque<std::uint64_t> waiting_;
  // Not empty.
  std::deque<Segment> segments_;
  std::uint64_t first_segment_ = 0;
  std::size_t passed_ = 0;
  // In the order of asking.
  std::deque<std::pair<Ticks, std::uint64_t>> deadlines_;
  std::set<std::pair<Ticks, std::uint64_t>> retry_at_;
};

}  // namespace weir::internal
