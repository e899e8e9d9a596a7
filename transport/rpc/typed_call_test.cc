#include "transport/rpc/typed_call.h"

#include <deque>
#include <optional>

#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

// Runs what is posted when asked to.
class QueueExecutor : public Executor {
 public:
  void Post(Closure closure) override { queue_.push_back(std::move(closure)); }
  TimerId PostAfter(absl::Duration, Closure) override { return 0; }
  bool Cancel(TimerId) override { return false; }
  bool IsCurrent() const override { return true; }
  void Shutdown() override { queue_.clear(); }
  void Drain() {
    while (!queue_.empty()) {
      Closure next = std::move(queue_.front());
      queue_.pop_front();
      next();
    }
  }

 private:
  std::deque<Closure> queue_;
};

// Hands a call to one handler; can garble what passes.
class DirectPeer : public RemotePeer {
 public:
  explicit DirectPeer(ServerMethods::Unary method) : method_(std::move(method)) {}
  void Call(std::string, std::string request, absl::Duration, Executor*, Responder done) override {
    if (garble_request) request = "\xff\xff";
    method_.handler(std::move(request),
                    [this, done = std::move(done)](absl::StatusOr<std::string> response) mutable {
                      if (response.ok() && garble_response) response = "\xff\xff";
                      done(std::move(response));
                    });
  }
  std::shared_ptr<MessageStream> OpenStream(std::string, Executor*, StreamCallbacks) override {
    return nullptr;
  }
  bool garble_request = false;
  bool garble_response = false;

 private:
  ServerMethods::Unary method_;
};

class TypedCallTest : public ::testing::Test {
 protected:
  using Request = proto::CancelJobRequest;
  using Response = proto::CancelJobResponse;

  absl::StatusOr<Response> Call(const Request& request) {
    std::optional<absl::StatusOr<Response>> result;
    TypedCall<Request, Response>(
        peer_, "/weir.JobManager/CancelJob", request, absl::Seconds(1), &executor_,
        [&](absl::StatusOr<Response> response) { result = std::move(response); });
    executor_.Drain();
    if (!result.has_value()) return absl::InternalError("not answered");
    return *std::move(result);
  }

  QueueExecutor executor_;
  int handled_ = 0;
  absl::StatusOr<Response> answer_ = Response();
  DirectPeer peer_{TypedUnary<Request, Response>(
      "/weir.JobManager/CancelJob", &executor_,
      [this](const Request& request, TypedResponder<Response> respond) {
        ++handled_;
        EXPECT_EQ(request.job_id(), "0123456789abcdef");
        respond(answer_);
      })};
};

TEST_F(TypedCallTest, CarriesARequestAndItsAnswer) {
  answer_->set_state(proto::CANCELLING);
  Request request;
  request.set_job_id("0123456789abcdef");
  auto response = Call(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->state(), proto::CANCELLING);
}

TEST_F(TypedCallTest, CarriesAnErrorWithItsMessage) {
  answer_ = absl::NotFoundError("no such job");
  Request request;
  request.set_job_id("0123456789abcdef");
  EXPECT_EQ(Call(request).status(), absl::NotFoundError("no such job"));
}

TEST_F(TypedCallTest, RefusesAMalformedRequestBeforeTheHandler) {
  peer_.garble_request = true;
  EXPECT_EQ(Call(Request()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(handled_, 0);
}

TEST_F(TypedCallTest, ReportsAMalformedAnswer) {
  peer_.garble_response = true;
  Request request;
  request.set_job_id("0123456789abcdef");
  EXPECT_EQ(Call(request).status().code(), absl::StatusCode::kInternal);
}

TEST_F(TypedCallTest, SendsNoRequestAboveTheLimit) {
  Request request;
  request.set_job_id(std::string(kMaxControlMessageBytes + 1, 'x'));
  EXPECT_EQ(Call(request).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(handled_, 0);
}

}  // namespace
}  // namespace weir
