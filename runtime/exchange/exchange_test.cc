#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/exchange/data_message.h"
#include "runtime/exchange/in_flight.h"
#include "runtime/exchange/input_gate.h"
#include "runtime/exchange/local_channel.h"
#include "runtime/exchange/partitioned_output.h"
#include "runtime/exchange/remote_input_channel.h"
#include "runtime/exchange/remote_output_channel.h"
#include "weir/codec.h"

namespace weir {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Row {
  int64_t id = 0;
  std::string text;
};

const RecordType& RowType() { return RecordTypeOf<Row>(); }

class CountingTask final : public TaskSignals {
 public:
  void Wake() override { ++wakes; }
  void Fail(absl::Status status) override { failure = std::move(status); }
  int wakes = 0;
  absl::Status failure;
};

std::unique_ptr<BatchBase> Rows(std::vector<int64_t> ids, bool timed = false,
                                std::string text = "") {
  auto batch = std::make_unique<Batch<Row>>();
  for (const int64_t id : ids) {
    batch->records.emplace_back(Row{id, text});
    if (timed) batch->timestamps.emplace_back(id * 10);
  }
  return batch;
}

std::vector<int64_t> Ids(const BatchBase& batch) {
  std::vector<int64_t> ids;
  for (const Row& row : static_cast<const Batch<Row>&>(batch).records) ids.push_back(row.id);
  return ids;
}

std::vector<int64_t> Sequence(int64_t begin, int64_t end) {
  std::vector<int64_t> ids;
  for (int64_t i = begin; i < end; ++i) ids.push_back(i);
  return ids;
}

TEST(DataMessage, RoundTripsWithAndWithoutTimestamps) {
  for (const bool timed : {false, true}) {
    const auto rows = Rows(Sequence(0, 1000), timed, "some text");
    std::string message;
    ASSERT_EQ(EncodeMessage(RowType(), *rows, 0, message), 1000u);
    Batch<Row> read;
    ASSERT_TRUE(DecodeMessage(RowType(), message, 1000, read).ok());
    EXPECT_EQ(Ids(read), Ids(*rows));
    EXPECT_EQ(read.timestamps.size(), timed ? 1000u : 0u);
    if (timed) {
      EXPECT_EQ(read.TimestampAt(999), 9990);
    }
  }
}

TEST(DataMessage, HoldsNoMoreThanItsTargetOfSmallRecords) {
  const auto rows = Rows(Sequence(0, 1000), true, std::string(200, 'x'));
  std::string message;
  size_t begin = 0;
  int messages = 0;
  while (begin < 1000) {
    message.clear();
    begin = EncodeMessage(RowType(), *rows, begin, message);
    EXPECT_LE(message.size(), kMaxFramePayloadBytes);
    ++messages;
  }
  EXPECT_LE(messages, 6);
}

TEST(DataMessage, RefusesWhatIsNotExactlyTheRecords) {
  const auto rows = Rows({1, 2, 3}, true, "abc");
  std::string message;
  EncodeMessage(RowType(), *rows, 0, message);
  const auto decode = [](std::string_view bytes, size_t records) {
    Batch<Row> read;
    return DecodeMessage(RowType(), bytes, records, read).code();
  };
  EXPECT_EQ(decode(message, 3), absl::StatusCode::kOk);
  EXPECT_EQ(decode(message, 2), absl::StatusCode::kDataLoss);
  EXPECT_EQ(decode(message, 4), absl::StatusCode::kDataLoss);
  EXPECT_EQ(decode(message, 0), absl::StatusCode::kDataLoss);
  EXPECT_EQ(decode(message, SIZE_MAX), absl::StatusCode::kDataLoss);
  EXPECT_EQ(decode("", 1), absl::StatusCode::kDataLoss);
  for (size_t size = 0; size < message.size(); ++size) {
    EXPECT_EQ(decode(std::string_view(message).substr(0, size), 3), absl::StatusCode::kDataLoss);
  }
  message[0] = 2;
  EXPECT_EQ(decode(message, 3), absl::StatusCode::kDataLoss);
  // Any bytes at all give a status and no crash.
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string garbage(random() % 80, '\0');
    for (char& c : garbage) c = static_cast<char>(random() % 7);
    decode(garbage, random() % 5);
  }
}

TEST(ReadySet, GoesRoundOverMoreThanOneWord) {
  ReadySet ready(130);
  size_t channel = 0;
  EXPECT_FALSE(ready.Next(0, channel));
  for (const size_t i : {3u, 64u, 129u}) ready.Mark(i);
  std::vector<size_t> order;
  size_t start = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(ready.Next(start, channel));
    order.push_back(channel);
    start = (channel + 1) % 130;
  }
  EXPECT_THAT(order, ElementsAre(3, 64, 129, 3));
  ready.Clear(3);
  ready.Clear(129);
  ASSERT_TRUE(ready.Next(65, channel));
  EXPECT_EQ(channel, 64u);
}

class LocalChannelTest : public ::testing::Test {
 protected:
  CountingTask producer_;
  CountingTask consumer_;
  ReadySet ready_{1};
  Counter bytes_out_;
  Counter bytes_in_;
  LocalChannel channel_{
      RowType(), {4, 100 * sizeof(Row)}, producer_, consumer_, ready_, 0, bytes_out_, bytes_in_};
};

// Of each element: the ids of its records, or -watermark.
std::vector<int64_t> InFlight(std::string bytes) {
  std::vector<int64_t> found;
  InFlightReader reader(std::move(bytes));
  InFlightReader::Element element;
  while (true) {
    const absl::StatusOr<bool> more = reader.Next(element);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return found;
    if (element.records == 0) {
      found.push_back(-element.watermark);
      continue;
    }
    const auto batch = RowType().NewBatch();
    EXPECT_TRUE(DecodeMessage(RowType(), element.message, element.records, *batch).ok());
    for (const int64_t id : Ids(*batch)) found.push_back(id);
  }
}

// Semantics rule 43.
TEST_F(LocalChannelTest, ABarrierIsTakenOutOfTheQueueAndWhatItOvertakesStays) {
  auto batch = Rows({1, 2});
  ASSERT_TRUE(channel_.SendBatch(batch).ok());
  channel_.SendEvent({ElementKind::kWatermark, 7});
  EXPECT_FALSE(ready_.TakeAnnounced());
  EXPECT_FALSE(channel_.QueuedBarrier().has_value());
  channel_.SendEvent({ElementKind::kBarrier, 55, 9});
  EXPECT_TRUE(ready_.TakeAnnounced());
  EXPECT_FALSE(ready_.TakeAnnounced());
  batch = Rows({3});
  ASSERT_TRUE(channel_.SendBatch(batch).ok());
  channel_.SendEvent({ElementKind::kEndOfInput});
  EXPECT_EQ(channel_.QueuedBarrier(), (Barrier{9, 55}));
  std::string in_flight;
  EXPECT_EQ(channel_.OvertakeQueue(8, in_flight), Overtaken::kNothing) << "it will not come";
  EXPECT_EQ(channel_.OvertakeQueue(9, in_flight), Overtaken::kBarrier);
  EXPECT_THAT(InFlight(in_flight), ElementsAre(1, 2, -7));
  std::string recorded;
  channel_.Record(&recorded);
  std::vector<ElementKind> kinds;
  size_t at = 0;
  while (ready_.Next(0, at)) {
    Element element;
    ASSERT_TRUE(channel_.Poll(element).ok());
    kinds.push_back(element.kind);
    if (element.kind == ElementKind::kBatch) channel_.Recycle(std::move(element.batch));
  }
  EXPECT_THAT(kinds, ElementsAre(ElementKind::kBatch, ElementKind::kWatermark, ElementKind::kBatch,
                                 ElementKind::kEndOfInput));
  EXPECT_THAT(InFlight(recorded), ElementsAre(1, 2, -7, 3));
}

TEST_F(LocalChannelTest, KeepsTheOrderOfBatchesAndEvents) {
  auto batch = Rows({1, 2});
  ASSERT_TRUE(channel_.SendBatch(batch).ok());
  EXPECT_TRUE(batch->empty());
  channel_.SendEvent({ElementKind::kWatermark, 7});
  channel_.SendEvent({ElementKind::kBarrier, 55, 9, BarrierKind::kStop});
  channel_.SendEvent({ElementKind::kEndOfInput});
  EXPECT_EQ(consumer_.wakes, 3) << "when it stops being empty, and for barrier and end";
  Element element;
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_THAT(Ids(*element.batch), ElementsAre(1, 2));
  channel_.Recycle(std::move(element.batch));
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kWatermark);
  EXPECT_EQ(element.time, 7);
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kBarrier);
  EXPECT_EQ(element.time, 55);
  EXPECT_EQ(element.barrier, 9u);
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kEndOfInput);
  size_t unused = 0;
  EXPECT_FALSE(ready_.Next(0, unused));
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kNone);
  EXPECT_EQ(bytes_out_.value(), 2 * sizeof(Row));
  EXPECT_EQ(bytes_in_.value(), 2 * sizeof(Row));
}

TEST_F(LocalChannelTest, BlocksWhenFullAndWakesTheProducerWhenHalfIsConsumed) {
  auto batch = Rows({1});
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(channel_.Blocked());
    if (batch->empty()) static_cast<Batch<Row>&>(*batch).records.emplace_back();
    ASSERT_TRUE(channel_.SendBatch(batch).ok());
  }
  EXPECT_TRUE(channel_.Blocked());
  Element element;
  ASSERT_TRUE(channel_.Poll(element).ok());
  EXPECT_TRUE(channel_.Blocked()) << "it is not consumed yet";
  channel_.Recycle(std::move(element.batch));
  EXPECT_FALSE(channel_.Blocked());
  EXPECT_EQ(producer_.wakes, 0);
  ASSERT_TRUE(channel_.Poll(element).ok());
  channel_.Recycle(std::move(element.batch));
  EXPECT_EQ(producer_.wakes, 1);
}

TEST_F(LocalChannelTest, BlocksAtItsBytesAndWakesTheProducerWhenHalfOfThemAreConsumed) {
  const auto send = [this](size_t records) {
    auto batch = RowType().NewBatch();
    for (size_t i = 0; i < records; ++i) {
      static_cast<Batch<Row>&>(*batch).records.emplace_back();
    }
    ASSERT_TRUE(channel_.SendBatch(batch).ok());
  };
  const auto consume = [this] {
    Element element;
    ASSERT_TRUE(channel_.Poll(element).ok());
    channel_.Recycle(std::move(element.batch));
  };
  send(1);
  send(48);
  EXPECT_FALSE(channel_.Blocked());
  send(51);
  EXPECT_TRUE(channel_.Blocked());
  consume();
  EXPECT_FALSE(channel_.Blocked());
  EXPECT_EQ(producer_.wakes, 0);
  consume();
  EXPECT_EQ(producer_.wakes, 0) << "51 of 100 are left";
  consume();
  EXPECT_EQ(producer_.wakes, 1);
  send(1000);
  EXPECT_TRUE(channel_.Blocked()) << "a batch above the bound goes alone";
  consume();
  EXPECT_FALSE(channel_.Blocked());
  EXPECT_EQ(producer_.wakes, 2);
}

TEST_F(LocalChannelTest, GivesConsumedBatchesBackToTheProducer) {
  std::set<const BatchBase*> used;
  auto batch = RowType().NewBatch();
  for (int i = 0; i < 100; ++i) {
    static_cast<Batch<Row>&>(*batch).records.emplace_back();
    used.insert(batch.get());
    ASSERT_TRUE(channel_.SendBatch(batch).ok());
    Element element;
    ASSERT_TRUE(channel_.Poll(element).ok());
    channel_.Recycle(std::move(element.batch));
  }
  EXPECT_LE(used.size(), 3u);
}

// A sender that hands its frames to a receiver, and counts credits.
class LoopSender final : public ChannelSender {
 public:
  LoopSender(ChannelReceiver*& receiver, int64_t& credits)
      : receiver_(receiver), credits_(credits) {}
  int64_t credits() const override { return credits_; }
  void Send(Frame frame) override {
    EXPECT_LE(frame.payload.size(), kMaxFramePayloadBytes);
    if (frame.kind == FrameKind::kData) --credits_;
    receiver_->OnFrame(std::move(frame));
  }
  bool BarrierWaits(const std::string&) const override { return false; }
  void Overtake(const std::string&, std::string, std::vector<Frame>&) override {}
  void Flush() override {}

 private:
  ChannelReceiver*& receiver_;
  int64_t& credits_;
};

class RemoteChannelTest : public ::testing::Test {
 protected:
  RemoteChannelTest() { output_.Open(std::make_unique<LoopSender>(receiver_, credits_)); }

  CountingTask consumer_;
  ReadySet ready_{1};
  Counter bytes_out_;
  Counter bytes_in_;
  int64_t credits_ = 4;
  const std::string uid_ = "parse";
  RemoteInputChannel input_{RowType(),
                            nullptr,
                            [this](uint32_t n) { credits_ += n; },
                            "subtask 1 of 'parse' on worker 2",
                            consumer_,
                            ready_,
                            0,
                            bytes_in_};
  ChannelReceiver* receiver_ = &input_;
  RemoteOutputChannel output_{RowType(), uid_, bytes_out_};
};

// Semantics rule 43: what had come of the record is kept with the rest of it.
TEST_F(RemoteChannelTest, ABarrierOvertakesTheRestOfARecord) {
  std::string message;
  auto batch = Rows({5}, false, std::string(1000, 'x'));
  ASSERT_EQ(EncodeMessage(RowType(), *batch, 0, message), 1u);
  input_.OnFrame({FrameKind::kWatermark, false, 0, 4, ""});
  input_.OnFrame({FrameKind::kData, true, 0, 0, message.substr(0, 300)});
  Element element;
  ASSERT_TRUE(input_.Poll(element).ok());
  ASSERT_TRUE(input_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kNone) << "a part of a record";
  input_.OnFrame({FrameKind::kData, true, 0, 0, message.substr(300, 300)});
  const Barrier barrier{3, 55, BarrierKind::kCheckpoint, /*unaligned=*/true};
  input_.OnFrame({FrameKind::kBarrier, false, 0, 55, EncodeBarrier(barrier)});
  EXPECT_TRUE(ready_.TakeAnnounced());
  EXPECT_EQ(input_.QueuedBarrier(), barrier);
  std::string in_flight;
  EXPECT_EQ(input_.OvertakeQueue(3, in_flight), Overtaken::kBarrier);
  AppendInFlightData(in_flight, false, 1, message.substr(600));
  EXPECT_THAT(InFlight(in_flight), ElementsAre(5));
  input_.OnFrame({FrameKind::kData, false, 1, 0, message.substr(600)});
  ASSERT_TRUE(input_.Poll(element).ok());
  ASSERT_EQ(element.kind, ElementKind::kBatch);
  EXPECT_THAT(Ids(*element.batch), ElementsAre(5));
}

TEST_F(RemoteChannelTest, CarriesBatchesAndEventsInOrder) {
  auto batch = Rows(Sequence(0, 100), true, "text");
  ASSERT_TRUE(output_.SendBatch(batch).ok());
  output_.SendEvent({ElementKind::kWatermark, 990});
  output_.SendEvent({ElementKind::kIdle});
  output_.SendEvent({ElementKind::kActive});
  output_.SendEvent({ElementKind::kBarrier, 55, 1'000'000'007, BarrierKind::kDrain});
  output_.SendEvent({ElementKind::kEndOfInput});
  EXPECT_EQ(consumer_.wakes, 3) << "barrier and end are announced";
  EXPECT_EQ(credits_, 3);
  Element element;
  ASSERT_TRUE(input_.Poll(element).ok());
  EXPECT_EQ(Ids(*element.batch), Sequence(0, 100));
  EXPECT_EQ(element.batch->timestamps[99], 990);
  input_.Recycle(std::move(element.batch));
  std::vector<ElementKind> kinds;
  while (input_.Poll(element).ok() && element.kind != ElementKind::kNone) {
    kinds.push_back(element.kind);
    if (element.kind != ElementKind::kBarrier) continue;
    EXPECT_EQ(element.time, 55);
    EXPECT_EQ(element.barrier, 1'000'000'007u);
  }
  EXPECT_THAT(kinds, ElementsAre(ElementKind::kWatermark, ElementKind::kIdle, ElementKind::kActive,
                                 ElementKind::kBarrier, ElementKind::kEndOfInput));
  EXPECT_EQ(bytes_in_.value(), bytes_out_.value());
}

TEST_F(RemoteChannelTest, RefusesABarrierThatNamesNoCheckpoint) {
  for (const std::string& payload :
       {std::string(), std::string(8, '\0'), std::string(7, 'x'), std::string(9, 'x')}) {
    input_.OnFrame({FrameKind::kBarrier, false, 0, 1, payload});
    Element element;
    const absl::Status status = input_.Poll(element);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("barrier"));
  }
}

TEST_F(RemoteChannelTest, IsBlockedWithoutCreditAndGetsItBackWhenRecordsAreConsumed) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(output_.Blocked());
    auto batch = Rows({i});
    ASSERT_TRUE(output_.SendBatch(batch).ok());
  }
  EXPECT_TRUE(output_.Blocked());
  for (int i = 0; i < 4; ++i) {
    Element element;
    ASSERT_TRUE(input_.Poll(element).ok());
    EXPECT_LT(credits_, 4);
    input_.Recycle(std::move(element.batch));
  }
  EXPECT_EQ(credits_, 4) << "all of them, in groups";
}

TEST_F(RemoteChannelTest, ContinuesALargeRecordOverManyFrames) {
  auto batch = Rows({5, 6}, true, std::string(1 << 20, 'y'));
  ASSERT_TRUE(output_.SendBatch(batch).ok());
  output_.SendEvent({ElementKind::kWatermark, 3});
  Element element;
  ASSERT_TRUE(input_.Poll(element).ok());
  EXPECT_THAT(Ids(*element.batch), ElementsAre(5));
  EXPECT_EQ(static_cast<Batch<Row>&>(*element.batch).records[0].text.size(), size_t{1} << 20);
  input_.Recycle(std::move(element.batch));
  ASSERT_TRUE(input_.Poll(element).ok());
  EXPECT_THAT(Ids(*element.batch), ElementsAre(6));
  input_.Recycle(std::move(element.batch));
  ASSERT_TRUE(input_.Poll(element).ok());
  EXPECT_EQ(element.kind, ElementKind::kWatermark);
  EXPECT_EQ(credits_, 4)
      << "the parts of a large record give their credits back before it is whole";
}

TEST_F(RemoteChannelTest, SendsARecordOfNearlyTheLimitThatComesAfterSmallOnes) {
  auto batch = Rows({1, 2, 3});
  static_cast<Batch<Row>&>(*batch).records[2].text = std::string(kMaxRecordBytes - 100, 'z');
  ASSERT_TRUE(output_.SendBatch(batch).ok());
  std::vector<int64_t> ids;
  Element element;
  while (input_.Poll(element).ok() && element.kind == ElementKind::kBatch) {
    for (const int64_t id : Ids(*element.batch)) ids.push_back(id);
    input_.Recycle(std::move(element.batch));
  }
  EXPECT_THAT(ids, ElementsAre(1, 2, 3));
}

TEST_F(RemoteChannelTest, RefusesARecordThatIsTooLargeAndNamesItsOperator) {
  auto batch = Rows({1}, false, std::string(17 << 20, 'z'));
  const absl::Status status = output_.SendBatch(batch);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("operator 'parse' put out a record of type"));
}

TEST_F(RemoteChannelTest, RefusesBytesThatAreNoRecordsAndNamesTheSender) {
  for (Frame frame :
       {Frame{FrameKind::kData, false, 3, 0, "nonsense"},
        Frame{FrameKind::kCredit, false, 0, 0, ""}, Frame{FrameKind::kData, false, 1, 0, ""}}) {
    input_.OnFrame(std::move(frame));
    Element element;
    const absl::Status status = input_.Poll(element);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("subtask 1 of 'parse' on worker 2"));
  }
  input_.OnFrame({FrameKind::kData, true, 0, 0, "half"});
  input_.OnFrame({FrameKind::kWatermark, false, 0, 9, ""});
  Element element;
  EXPECT_EQ(input_.Poll(element).code(), absl::StatusCode::kDataLoss) << "a record without its end";
}

TEST_F(RemoteChannelTest, ALostPeerFailsTheTaskUnlessItsInputHadEnded) {
  output_.SendEvent({ElementKind::kEndOfInput});
  input_.OnError(absl::UnavailableError("connection reset"));
  EXPECT_TRUE(consumer_.failure.ok());
  RemoteInputChannel other(
      RowType(), nullptr, [](uint32_t) {}, "there", consumer_, ready_, 0, bytes_in_);
  other.OnError(absl::UnavailableError("connection reset"));
  EXPECT_EQ(consumer_.failure.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(consumer_.failure.message()),
              HasSubstr("input from there: connection reset"));
}

// Keeps what it is sent.
class RecordingChannel final : public OutputChannel {
 public:
  absl::Status SendBatch(std::unique_ptr<BatchBase>& batch) override {
    sizes.push_back(batch->size());
    hashes += batch->hashes.size();
    for (const int64_t id : Ids(*batch)) ids.push_back(id);
    batch->Clear();
    return absl::OkStatus();
  }
  void SendEvent(const Event& event) override { ids.push_back(-event.time); }
  bool Blocked() const override { return blocked; }
  bool Overfull() const override { return overfull; }
  void Flush() override { ++flushes; }
  bool BarrierWaits() const override { return !waiting.empty(); }
  void OvertakeWithBarrier(std::string& in_flight) override { in_flight += waiting; }

  std::vector<size_t> sizes;
  std::vector<int64_t> ids;
  size_t hashes = 0;
  bool blocked = false;
  bool overfull = false;
  std::string waiting;
  int flushes = 0;
};

class RowHasher final : public KeyHasher {
 public:
  void Hash(BatchBase& batch) const override {
    for (const Row& row : static_cast<Batch<Row>&>(batch).records)
      batch.hashes.emplace_back(KeyHash(row.id));
  }
};

class PartitionedOutputTest : public ::testing::Test {
 protected:
  void Make(Partitioning partitioning, size_t channels) {
    PartitionedOutput::Options options;
    options.partitioning = partitioning;
    if (partitioning == Partitioning::kHash) options.hasher = std::make_shared<RowHasher>();
    channels_.resize(channels);
    std::vector<OutputChannel*> pointers;
    for (RecordingChannel& channel : channels_) pointers.push_back(&channel);
    output_ = std::make_unique<PartitionedOutput>(RowType(), options, pointers, records_out_);
  }
  void Push(std::vector<int64_t> ids) {
    auto batch = Rows(std::move(ids));
    ASSERT_TRUE(output_->Push(*batch).ok());
    EXPECT_TRUE(batch->empty());
  }
  Counter records_out_;
  std::vector<RecordingChannel> channels_;
  std::unique_ptr<PartitionedOutput> output_;
};

TEST_F(PartitionedOutputTest, BuffersSmallBatchesUntilFlush) {
  Make(Partitioning::kForward, 1);
  Push({1});
  Push({2});
  EXPECT_TRUE(channels_[0].ids.empty());
  output_->FlushSent();
  EXPECT_TRUE(channels_[0].ids.empty());
  ASSERT_TRUE(output_->Flush().ok());
  EXPECT_THAT(channels_[0].sizes, ElementsAre(2));
  EXPECT_EQ(channels_[0].flushes, 1);
  ASSERT_TRUE(output_->Flush().ok());
  EXPECT_EQ(channels_[0].flushes, 1);
  EXPECT_EQ(records_out_.value(), 2u);
}

TEST_F(PartitionedOutputTest, SendsWhatIsBufferedBeforeAnEvent) {
  Make(Partitioning::kBroadcast, 3);
  Push({1, 2});
  ASSERT_TRUE(output_->SendEvent({ElementKind::kWatermark, 7}).ok());
  Push({3});
  ASSERT_TRUE(output_->Flush().ok());
  for (const RecordingChannel& channel : channels_)
    EXPECT_THAT(channel.ids, ElementsAre(1, 2, -7, 3));
}

TEST_F(PartitionedOutputTest, KeepsBatchesWithinTheirLimitAndLosesNothing) {
  for (const Partitioning partitioning :
       {Partitioning::kHash, Partitioning::kRebalance, Partitioning::kBroadcast}) {
    channels_.clear();
    Make(partitioning, 3);
    int64_t next = 0;
    for (const int64_t size : {1, 1000, 7, 1024, 300, 1024, 1024, 1, 900}) {
      Push(Sequence(next, next + size));
      next += size;
    }
    ASSERT_TRUE(output_->Flush().ok());
    std::vector<int64_t> all;
    for (const RecordingChannel& channel : channels_) {
      EXPECT_TRUE(std::is_sorted(channel.ids.begin(), channel.ids.end()))
          << "order is kept on a channel";
      EXPECT_THAT(channel.sizes, Each(::testing::Le(kBatchRecords)));
      EXPECT_EQ(channel.hashes, partitioning == Partitioning::kHash ? channel.ids.size() : 0u);
      all.insert(all.end(), channel.ids.begin(), channel.ids.end());
    }
    std::sort(all.begin(), all.end());
    if (partitioning == Partitioning::kBroadcast) {
      EXPECT_EQ(all.size(), 3u * static_cast<size_t>(next));
    } else {
      EXPECT_EQ(all, Sequence(0, next));
    }
    if (partitioning == Partitioning::kRebalance) {
      EXPECT_EQ(channels_[0].ids.size(),
                channels_[2].ids.size() + static_cast<size_t>(next % 3 > 0));
    }
  }
}

TEST_F(PartitionedOutputTest, IsBlockedWhileAnyChannelIs) {
  Make(Partitioning::kHash, 3);
  EXPECT_FALSE(output_->Blocked());
  channels_[2].blocked = true;
  EXPECT_TRUE(output_->Blocked());
  Push({1, 2, 3});  // and takes records all the same
}

TEST(InputGate, TakesFromChannelsInTurns) {
  CountingTask task;
  InputGate gate(3);
  Counter bytes;
  std::vector<std::unique_ptr<LocalChannel>> channels;
  for (size_t i = 0; i < 3; ++i) {
    channels.push_back(std::make_unique<LocalChannel>(RowType(), LocalChannel::Capacity{}, task,
                                                      task, gate.ready(), i, bytes, bytes));
    gate.Add(channels.back().get());
  }
  for (int i = 0; i < 3; ++i) channels[0]->SendEvent({ElementKind::kWatermark, i});
  channels[2]->SendEvent({ElementKind::kWatermark});
  std::vector<size_t> order;
  Element element;
  size_t channel = 0;
  while (gate.Poll(element, channel).ok() && element.kind != ElementKind::kNone)
    order.push_back(channel);
  EXPECT_THAT(order, ElementsAre(0, 2, 0, 0));
}

}  // namespace
}  // namespace weir
