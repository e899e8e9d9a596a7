// The files of a sink whose job is killed at any operation on the disk, and goes on from its last
// checkpoint: what readers see in the end holds each row once.
#include <map>
#include <optional>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "connectors/files/files_sink.h"
#include "connectors/testing/contexts.h"
#include "connectors/testing/row_type.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kRows = 40;
constexpr int64_t kRowsPerBatch = 4;
// Batches between two checkpoints.
constexpr int64_t kBatchesPerCheckpoint = 3;
constexpr char kJob[] = "0123456789abcdef0123456789abcdef";

// What the job's coordinator keeps: the newest complete checkpoint.
struct Saved {
  uint64_t checkpoint = 0;
  int64_t next_row = 0;
  std::vector<std::string> committables;
};

class CrashTest : public ::testing::Test {
 protected:
  void Reset() {
    world_ = std::make_unique<SimWorld>();
    env_ = &world_->StartProcess("worker", "host");
    saved_ = {};
    attempt_ = 0;
    operations_ = 0;
    crashed_ = false;
  }
  // From the operation with this number on nothing happens on the disk any more; nullopt: never.
  void CrashAt(std::optional<uint64_t> operation) {
    world_->disk("host").set_fault([this, operation](std::string_view, const std::string& path) {
      crashed_ = crashed_ || (operation.has_value() && operations_ >= *operation);
      ++operations_;
      return crashed_ ? absl::UnavailableError(StrCat(path, ": the host is down"))
                      : absl::OkStatus();
    });
  }
  void Restart(SimDisk::Loss loss) {
    world_->disk("host").set_fault(nullptr);
    crashed_ = false;
    world_->CrashHost("host", loss);
    env_ = &world_->StartProcess(StrCat("worker-", attempt_), "host");
  }

  absl::Status Commit(Committer& committer, const std::vector<std::string>& all, bool again) {
    std::vector<Committable> committables;
    for (const std::string& bytes : all) committables.push_back({bytes, again});
    return committer.Commit(committables);
  }
  absl::Status Prepare(SinkWriter& sink, TestOperatorContext& context, uint64_t id,
                       std::vector<std::string>& committables) {
    for (;;) {
      const int wakes = context.wakes;
      const auto ready = sink.PrepareCommit(id, committables);
      if (!ready.ok()) return ready.status();
      if (*ready) return absl::OkStatus();
      if (!world_->RunUntil([&] { return context.wakes > wakes; }, absl::Seconds(10))) {
        return absl::DeadlineExceededError("never woken");
      }
    }
  }

  // One attempt from the newest checkpoint on, to the end or to the first error.
  absl::Status RunAttempt(const Files& settings) {
    ++attempt_;
    TestOperatorContext context(0, 1);
    context.run_info = {kJob, attempt_, saved_.checkpoint, true, true};
    auto made = MakeFilesSink(*env_, settings, type_);
    if (!made.ok()) return made.status();
    SinkWriter& sink = **made;
    absl::Status status = sink.Open(context);
    if (status.ok()) status = WriteAll(sink, context);
    sink.Close();
    world_->RunFor(absl::Seconds(1));
    return status;
  }
  absl::Status WriteAll(SinkWriter& sink, TestOperatorContext& context) {
    const std::unique_ptr<Committer> committer = sink.MakeCommitter();
    if (!saved_.committables.empty()) {
      absl::Status status = Commit(*committer, saved_.committables, true);
      if (!status.ok()) return status;
    }
    for (int64_t row = saved_.next_row, batches = 1; row < kRows; ++batches) {
      Batch<Row> batch;
      for (int64_t i = 0; i < kRowsPerBatch; ++i, ++row) {
        batch.records.emplace_back(Row{row, "t"});
        batch.timestamps.emplace_back(row * 3'600'000'000);
      }
      absl::Status status = sink.Write(batch);
      if (status.ok()) status = sink.Flush();
      world_->RunFor(absl::Milliseconds(10));
      if (!status.ok()) return status;
      if (batches % kBatchesPerCheckpoint != 0 && row < kRows) continue;
      // Ids of earlier attempts are not used again.
      const uint64_t id = std::max(saved_.checkpoint, uint64_t{1000} * attempt_) + 1;
      std::vector<std::string> prepared;
      status = Prepare(sink, context, id, prepared);
      if (!status.ok()) return status;
      if (crashed_) return absl::AbortedError("crashed while it was acknowledged");
      saved_ = {id, row, prepared};
      status = Commit(*committer, prepared, false);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // How often each row is seen by readers.
  std::map<int64_t, int> Visible(const std::string& folder) {
    std::map<int64_t, int> rows;
    const auto entries = env_->files().List(folder);
    EXPECT_TRUE(entries.ok()) << entries.status();
    for (const FileInfo& entry : *entries) {
      const std::string name = entry.path.substr(folder.size() + 1);
      if (name.front() == '.') continue;
      if (entry.is_directory) {
        for (const auto& [row, times] : Visible(entry.path)) rows[row] += times;
        continue;
      }
      const auto content = ReadFile(env_->files(), entry.path, 1 << 20);
      EXPECT_TRUE(content.ok());
      EXPECT_TRUE(content->empty() || content->back() == '\n') << "half a file is visible";
      for (size_t at = 0; at < content->size(); at = content->find('\n', at) + 1) {
        ++rows[std::stoll(content->substr(at + 6))];
      }
    }
    return rows;
  }
  static std::map<int64_t, int> EachOnce() {
    std::map<int64_t, int> rows;
    for (int64_t row = 0; row < kRows; ++row) rows[row] = 1;
    return rows;
  }

  std::unique_ptr<SimWorld> world_;
  SimEnv* env_ = nullptr;
  RowType type_;
  Saved saved_;
  uint32_t attempt_ = 0;
  uint64_t operations_ = 0;
  bool crashed_ = false;
};

TEST_F(CrashTest, AtEveryOperationOnTheDiskNoRowIsLostOrRepeated) {  // I2, I8
  for (const Files& settings : {Files{.path = "/out"}, Files{.path = "/out", .bucket = "%d/%H"}}) {
    for (const SimDisk::Loss loss :
         {SimDisk::Loss::kNothing, SimDisk::Loss::kAllUnsynced, SimDisk::Loss::kSomeUnsynced}) {
      uint64_t crashes = 0;
      for (uint64_t at = 0;; ++at) {
        SCOPED_TRACE(StrCat("operation ", at, ", loss ", static_cast<int>(loss)));
        Reset();
        CrashAt(at);
        bool crashed = false;
        // A second time in every third case, in the middle of the recovery.
        for (int crash = 0; !RunAttempt(settings).ok() || crashed_; ++crash) {
          ASSERT_LT(crash, 3) << "it does not get on";
          crashed = true;
          Restart(loss);
          if (crash == 0 && at % 3 == 0) CrashAt(operations_ + at % 7);
        }
        if (!crashed) break;
        ++crashes;
        world_->disk("host").set_fault(nullptr);
        ASSERT_EQ(Visible("/out"), EachOnce());
        // The folder is there only if an attempt had no time to find it empty.
        const auto hidden = env_->files().List("/out/.inprogress");
        if (hidden.ok()) {
          ASSERT_THAT(*hidden, IsEmpty()) << (*hidden)[0].path;
        }
      }
      EXPECT_GT(crashes, 30u);
    }
  }
}

}  // namespace
}  // namespace weir
