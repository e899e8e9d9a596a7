#include "common/env/system/system_env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/env/file_system_conformance.h"
#include "common/env/system/device_memory.h"
#include "common/env/system/direct_reader.h"
#include "common/env/system/direct_writer.h"
#include "common/env/system/thread_executor.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class PosixHarness final : public FileSystemHarness {
 public:
  PosixHarness() { EXPECT_TRUE(files().CreateDirectories(folder_).ok()); }
  ~PosixHarness() override { EXPECT_TRUE(files().DeleteRecursively(folder_).ok()); }
  FileSystem& files() override { return env_->files(); }
  std::string folder() override { return folder_; }

 private:
  const std::unique_ptr<Env> env_ = MakeSystemEnv();
  const std::string folder_ =
      testing::TempDir() + "weir_posix_" + std::to_string(env_->random().Next());
};

INSTANTIATE_TEST_SUITE_P(Posix, FileSystemConformanceTest,
                         testing::Values([] { return std::make_unique<PosixHarness>(); }));

TEST(PosixFileSystemTest, ErrorsOfTheSystemHaveTheirCodes) {
  const auto env = MakeSystemEnv();
  // A device that is always full.
  auto full = env->files().OpenForWrite("/dev/full", FileSystem::WriteMode::kAppend);
  ASSERT_TRUE(full.ok()) << full.status();
  const absl::Status status = (*full)->Append("x");
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(ToStd(status.message()).find("/dev/full"), std::string_view::npos) << status;
  const std::string long_name = "/tmp/" + std::string(300, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(env->files().Stat(long_name).status()));
}

TEST(PosixFileSystemTest, FilesWhoseSizeIsNotKnownAreReadToTheirEnd) {
  const auto env = MakeSystemEnv();
  const auto content = ReadFile(env->files(), "/proc/self/status", 1 << 20);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_NE(content->find("Name:"), std::string::npos);
}

// So many bytes that most go past the cache, of which no two blocks agree.
std::string ManyBytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 4096 * 7);
  return bytes;
}
constexpr size_t kPastTheCache = 16 << 20;

// Asking has the system read nothing, which a read that does not wait would have it begin.
bool IsInMemory(const std::string& path, off_t offset) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const off_t begin = offset / static_cast<off_t>(page) * static_cast<off_t>(page);
  void* const map = mmap(nullptr, page, PROT_NONE, MAP_SHARED, fd, begin);
  close(fd);
  EXPECT_NE(map, MAP_FAILED);
  unsigned char in = 0;
  EXPECT_EQ(mincore(map, page, &in), 0);
  munmap(map, page);
  return (in & 1) != 0;
}
bool TakesDirectWrites(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}
// Whether it can be seen there that bytes go past the cache. Not if all files are in memory, nor if
// O_DIRECT is taken and the cache used all the same.
bool ShowsWhatGoesPastTheCache(const std::string& folder) {
  const std::string path = folder + "/shown";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
  if (fd < 0) return false;
  constexpr size_t kBytes = 2 << 20;
  const DeviceMemory memory = TakeDeviceMemory(kBytes);
  std::memset(memory.get(), 1, kBytes);
  bool shows = pwrite(fd, memory.get(), kBytes, 0) == kBytes && !IsInMemory(path, 0);
  shows = shows && pread(fd, memory.get(), kBytes, 0) == kBytes && !IsInMemory(path, 0);
  close(fd);
  return shows;
}

TEST(PosixFileSystemTest, WhatIsLargeAndNotReadSoonIsWrittenPastTheCache) {
  PosixHarness harness;
  const std::string path = harness.folder() + "/large";
  const std::string bytes = ManyBytes(kPastTheCache + (11 << 20) + 12'345);
  auto file = harness.files().OpenForWrite(path, FileSystem::WriteMode::kCreateNew);
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->NotReadSoon();
  // Pieces of all sizes; a sync where no block ends; and more, which goes through the cache again.
  const size_t synced = bytes.size() - 5'000;
  size_t at = 0;
  for (size_t piece = 1; at < synced; piece = piece * 3 % 3'000'017) {
    const size_t size = std::min(piece, synced - at);
    ASSERT_TRUE((*file)->Append(std::string_view(bytes).substr(at, size)).ok());
    at += size;
  }
  ASSERT_TRUE((*file)->Sync().ok());
  if (ShowsWhatGoesPastTheCache(harness.folder())) {
    // Not all of it must have gone past: the system may use the cache for a write of its choice.
    int in_memory = 0;
    for (off_t mib = 0; mib < 10; ++mib) in_memory += IsInMemory(path, kPastTheCache + (mib << 20));
    EXPECT_LT(in_memory, 5);
  }
  ASSERT_TRUE((*file)->Append(std::string_view(bytes).substr(at)).ok());
  ASSERT_TRUE((*file)->Close().ok());
  const auto read = ReadFile(harness.files(), path, bytes.size() + 1);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read == bytes);
}

TEST(PosixFileSystemTest, AWritePastTheCacheThatFailsIsReportedAndStays) {
  PosixHarness harness;
  const std::string path = harness.folder() + "/large";
  // No file may become larger, as on a disk that is full.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit less = before;
  less.rlim_cur = kPastTheCache + (3 << 20);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &less), 0);
  auto file = harness.files().OpenForWrite(path, FileSystem::WriteMode::kCreateNew);
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->NotReadSoon();
  const std::string bytes = ManyBytes(kPastTheCache + (9 << 20));
  absl::Status status = (*file)->Append(bytes);
  if (status.ok()) status = (*file)->Sync();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(ToStd(status.message()).find(path), std::string_view::npos) << status;
  EXPECT_FALSE((*file)->Sync().ok());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
}

TEST(DirectWriterTest, WhoAppendsWaitsForASlowDiskAndNothingIsLost) {
  // A pipe that nobody reads at first.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const auto writer = DirectWriter::Begin(ends[1]);
  ASSERT_NE(writer, nullptr);
  constexpr size_t kMiB = 1 << 20;
  const std::string bytes = ManyBytes(30 * kMiB + 5);
  std::atomic<size_t> appended{0};
  std::thread appender([&] {
    while (appended < bytes.size()) {
      const auto piece = std::string_view(bytes).substr(appended, kMiB);
      EXPECT_EQ(writer->Append(piece), 0);
      appended += piece.size();
    }
    EXPECT_EQ(writer->End(), 0);
    close(ends[1]);
  });
  // As much as it keeps.
  while (appended < DirectWriter::kMostKept) std::this_thread::yield();
  EXPECT_EQ(appended, DirectWriter::kMostKept);
  std::string read;
  char buffer[4096];
  for (ssize_t got = 1; got > 0;) {
    got = ::read(ends[0], buffer, sizeof(buffer));
    ASSERT_GE(got, 0);
    read.append(buffer, static_cast<size_t>(got));
  }
  appender.join();
  close(ends[0]);
  EXPECT_TRUE(read == bytes);
}

TEST(PosixFileSystemTest, AFileThatIsGivenUpWhileItIsWrittenPastTheCacheLeavesNobodyWaiting) {
  PosixHarness harness;
  auto file =
      harness.files().OpenForWrite(harness.folder() + "/f", FileSystem::WriteMode::kCreateNew);
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->NotReadSoon();
  ASSERT_TRUE((*file)->Append(ManyBytes(kPastTheCache + (5 << 20))).ok());
  file->reset();
  const auto info = harness.files().Stat(harness.folder() + "/f");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_GE(info->size_bytes, kPastTheCache);
}

class ReadInOrderTest : public testing::Test {
 protected:
  // A file that is not in memory.
  std::unique_ptr<RandomAccessFile> Open(const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomically(harness_.files(), path_, bytes).ok());
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    return *harness_.files().OpenForRead(path_);
  }

  PosixHarness harness_;
  const std::string path_ = harness_.folder() + "/large";
};

TEST_F(ReadInOrderTest, WhatWasToldIsReadPastTheCache) {
  const std::string bytes = ManyBytes((61 << 20) + 4'321);
  const auto file = Open(bytes);
  const bool was_in_memory = IsInMemory(path_, 5 << 20);
  std::string buffer;
  uint64_t told = 0;
  uint64_t at = 0;
  // Pieces of all sizes, more than are kept at once too, each of which begins a little before the
  // end of the one before.
  for (size_t piece = 1; at < bytes.size(); piece = piece * 7 % 20'000'003) {
    for (; told < std::min<uint64_t>(at + piece + (16 << 20), bytes.size()); told += 2 << 20)
      file->WillRead(told, 2 << 20);
    const auto read = file->ReadInOrder(at, piece, buffer);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->size(), std::min<uint64_t>(piece, bytes.size() - at));
    ASSERT_TRUE(*read == std::string_view(bytes).substr(at, piece)) << "at " << at;
    at += read->size();
    if (at < bytes.size()) at -= std::min<uint64_t>(piece / 2, 200'000);
  }
  EXPECT_EQ(file->ReadInOrder(bytes.size() + 7, 5, buffer)->size(), 0u);
  if (!was_in_memory && ShowsWhatGoesPastTheCache(harness_.folder())) {
    for (off_t place = 5 << 20; place < 60 << 20; place += 5 << 20)
      EXPECT_FALSE(IsInMemory(path_, place)) << place;
  }
}

TEST_F(ReadInOrderTest, WhatWillBeReadSomewhereIsBroughtWithoutAWait) {
  const std::string bytes = ManyBytes(30 << 20);
  const auto file = Open(bytes);
  const off_t place = (17 << 20) + 100;
  const bool before = IsInMemory(path_, place);
  file->WillReadAt(place, 5'000);
  const auto is_there = [&] {
    return IsInMemory(path_, place) && IsInMemory(path_, place + 4'999);
  };
  const auto begun = std::chrono::steady_clock::now();
  while (!is_there() && std::chrono::steady_clock::now() - begun < std::chrono::seconds(30))
    std::this_thread::yield();
  EXPECT_TRUE(is_there());
  EXPECT_EQ(IsInMemory(path_, place + (5 << 20)), before);
  // No such places.
  file->WillReadAt(29 << 20, 9 << 20);
  file->WillReadAt(UINT64_MAX, 5);
  std::string read(5'000, '\0');
  ASSERT_EQ(*file->ReadAt(place, read.size(), read.data()), read.size());
  EXPECT_EQ(read, bytes.substr(place, read.size()));
}

TEST_F(ReadInOrderTest, WhatWasLeftOutOrNotToldIsReadAsWell) {
  const std::string bytes = ManyBytes(50 << 20);
  const auto file = Open(bytes);
  std::string buffer;
  const auto expect = [&](uint64_t at, size_t size) {
    const auto read = file->ReadInOrder(at, size, buffer);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(*read == std::string_view(bytes).substr(at, size)) << "at " << at;
    std::string other(1'000, '\0');
    ASSERT_EQ(*file->ReadAt(at, other.size(), other.data()), other.size());
    EXPECT_EQ(other, bytes.substr(at, other.size()));
  };
  file->WillRead(0, 12 << 20);
  file->WillRead(20 << 20, 30 << 20);
  expect(100, 5'000);
  // Pieces are left out while they are read; a gap; what is past; the end.
  expect(9 << 20, 300'000);
  expect((12 << 20) - 100, 8'000);
  expect(15 << 20, 2'000);
  expect(20 << 20, 4 << 20);
  expect(1 << 20, 2'000);
  expect(45 << 20, 5 << 20);
}

TEST_F(ReadInOrderTest, AFileThatIsGivenUpOrBecomesShorterLeavesNobodyWaiting) {
  const std::string bytes = ManyBytes(30 << 20);
  auto file = Open(bytes);
  file->WillRead(0, 30 << 20);
  file.reset();
  file = Open(bytes);
  ASSERT_EQ(truncate(path_.c_str(), 9'000'000), 0);
  file->WillRead(0, 30 << 20);
  std::string buffer;
  const auto read = file->ReadInOrder(8'999'000, 5'000, buffer);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, bytes.substr(8'999'000, 1'000));
  EXPECT_EQ(file->ReadInOrder(20'000'000, 5'000, buffer)->size(), 0u);
}

TEST(DirectReaderTest, GivesWhatItReadBeforeAReadThatFailed) {
  PosixHarness harness;
  const std::string path = harness.folder() + "/f";
  const std::string bytes = ManyBytes(3 << 20);
  ASSERT_TRUE(WriteFileAtomically(harness.files(), path, bytes).ok());
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto reader = DirectReader::Begin(fd);
  close(fd);
  ASSERT_EQ(reader != nullptr, TakesDirectWrites(harness.folder() + "/tried"));
  if (reader == nullptr) return;
  // There is no such place.
  reader->Expect(0, 9 << 20);
  std::string buffer;
  std::string_view read;
  ASSERT_TRUE(reader->Read(2'900'000, 1'000, buffer, read));
  EXPECT_TRUE(read == std::string_view(bytes).substr(2'900'000, 1'000));
  EXPECT_FALSE(reader->Read(5 << 20, 20, buffer, read));
  EXPECT_TRUE(reader->failed());
  EXPECT_FALSE(reader->Read(7 << 20, 20, buffer, read));
}

TEST(DirectReaderTest, ThereAreNotTooManyAtATime) {
  PosixHarness harness;
  const std::string path = harness.folder() + "/f";
  ASSERT_TRUE(WriteFileAtomically(harness.files(), path, "x").ok());
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  for (int again = 0; again < 2; ++again) {
    std::vector<std::unique_ptr<DirectReader>> readers;
    for (int i = 0; i < DirectReader::kMostReaders; ++i) {
      readers.push_back(DirectReader::Begin(fd));
      EXPECT_EQ(readers.back() != nullptr, TakesDirectWrites(path));
    }
    EXPECT_EQ(DirectReader::Begin(fd), nullptr);
  }
  close(fd);
}

TEST(PosixFileSystemTest, LinksThatLeadNowhereAreListedAndNotFollowedWhenDeleting) {
  PosixHarness harness;
  const std::string folder = harness.folder();
  ASSERT_TRUE(harness.files().CreateDirectories(folder + "/kept").ok());
  ASSERT_TRUE(WriteFileAtomically(harness.files(), folder + "/kept/f", "x").ok());
  ASSERT_TRUE(harness.files().CreateDirectories(folder + "/deleted").ok());
  ASSERT_EQ(symlink((folder + "/kept").c_str(), (folder + "/deleted/link").c_str()), 0);
  ASSERT_EQ(symlink("/nowhere/at/all", (folder + "/deleted/dangling").c_str()), 0);
  const auto entries = harness.files().List(folder + "/deleted");
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), 2u);
  ASSERT_TRUE(harness.files().DeleteRecursively(folder + "/deleted").ok());
  EXPECT_TRUE(harness.files().Stat(folder + "/kept/f").ok());
}

class ThreadExecutorTest : public testing::Test {
 protected:
  // Runs everything posted to `executor` so far.
  static void Drain(Executor& executor) {
    std::promise<void> done;
    executor.Post([&] { done.set_value(); });
    done.get_future().wait();
  }

  const std::unique_ptr<Env> env_ = MakeSystemEnv();
};

TEST_F(ThreadExecutorTest, ClosuresRunInOrderOneAtATimeWhoeverPosts) {
  auto executor = env_->NewExecutor("main");
  constexpr int kThreads = 4;
  constexpr int kEach = 20'000;
  std::vector<int> last(kThreads, -1);  // Touched on the executor only.
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        executor->Post([&, t, i] {
          in_order &= last[t] == i - 1;
          last[t] = i;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Drain(*executor);
  EXPECT_TRUE(in_order);
  EXPECT_EQ(last, std::vector<int>(kThreads, kEach - 1));
}

TEST_F(ThreadExecutorTest, TimersRunInTheOrderOfTheirTimesAndNotBefore) {
  auto executor = env_->NewExecutor("main");
  std::vector<int> order;
  std::promise<void> done;
  const int64_t begin = env_->clock().MonotonicNanos();
  executor->PostAfter(absl::Milliseconds(30), [&] {
    order.push_back(3);
    done.set_value();
  });
  executor->PostAfter(absl::Milliseconds(10), [&] { order.push_back(1); });
  executor->PostAfter(absl::Milliseconds(20), [&] { order.push_back(2); });
  executor->PostAfter(-absl::Seconds(1), [&] { order.push_back(0); });
  executor->PostAfter(absl::InfiniteDuration(), [&] { order.push_back(4); });
  done.get_future().wait();
  EXPECT_GE(env_->clock().MonotonicNanos() - begin, 30'000'000);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

TEST_F(ThreadExecutorTest, ACancelledTimerNeverRunsEvenWhenDueAtOnce) {
  auto executor = env_->NewExecutor("main");
  std::promise<bool> cancelled;
  std::atomic<bool> ran = false;
  executor->Post([&] {
    // Both are due when this returns; the first cancels the second.
    auto second = std::make_shared<Executor::TimerId>();
    executor->PostAfter(absl::ZeroDuration(),
                        [&, second] { cancelled.set_value(executor->Cancel(*second)); });
    *second = executor->PostAfter(absl::ZeroDuration(), [&] { ran = true; });
  });
  EXPECT_TRUE(cancelled.get_future().get());
  std::promise<void> later;
  executor->PostAfter(absl::Milliseconds(1), [&] { later.set_value(); });
  later.get_future().wait();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(executor->Cancel(12345));
}

TEST_F(ThreadExecutorTest, ItsThreadIsCurrentOnlyForIt) {
  auto a = env_->NewExecutor("a");
  auto b = env_->NewExecutor("a name that is longer than the system allows");
  std::promise<bool> right;
  a->Post([&] { right.set_value(a->IsCurrent() && !b->IsCurrent()); });
  EXPECT_TRUE(right.get_future().get());
  EXPECT_FALSE(a->IsCurrent());
}

TEST_F(ThreadExecutorTest, ShutdownWaitsForTheRunningClosureAndDropsTheRest) {
  auto executor = env_->NewExecutor("main");
  std::promise<void> posted;
  std::promise<void> begun;
  std::promise<void> shutdown_returned;
  std::atomic<bool> returned_early = false;
  std::atomic<bool> other_ran = false;
  auto in_batch = std::make_shared<int>(1);
  auto queued = std::make_shared<int>(1);
  executor->Post([&] { posted.get_future().wait(); });
  // These two are taken out of the queue together, while the first one above waits.
  executor->Post([&] {
    begun.set_value();
    // Shutdown has begun once what is queued is gone; then it must not return before this does.
    while (queued.use_count() > 1) std::this_thread::yield();
    returned_early = shutdown_returned.get_future().wait_for(std::chrono::milliseconds(50)) ==
                     std::future_status::ready;
  });
  executor->Post([&, in_batch] { other_ran = true; });
  posted.set_value();
  begun.get_future().wait();
  executor->Post([&, queued] { other_ran = true; });
  executor->PostAfter(absl::ZeroDuration(), [&, queued] { other_ran = true; });
  std::thread stopper([&] {
    executor->Shutdown();
    shutdown_returned.set_value();
  });
  stopper.join();
  EXPECT_FALSE(returned_early);
  EXPECT_FALSE(other_ran);
  EXPECT_EQ(in_batch.use_count(), 1);
  executor->Post([&, queued] { other_ran = true; });
  executor->PostAfter(absl::ZeroDuration(), [&, queued] { other_ran = true; });
  EXPECT_EQ(queued.use_count(), 1);
}

TEST_F(ThreadExecutorTest, AnExecutorMayBeShutDownAndDestroyedByItsOwnClosure) {
  std::promise<void> destroyed;
  auto* executor = env_->NewExecutor("main").release();
  executor->Post([&, executor] {
    executor->Shutdown();
    delete executor;
    destroyed.set_value();
  });
  destroyed.get_future().wait();
}

TEST_F(ThreadExecutorTest, AClosureThatIsDestroyedMayPostAgain) {
  auto executor = env_->NewExecutor("main");
  struct PostsWhenDestroyed {
    Executor* executor;
    ~PostsWhenDestroyed() {
      executor->Post([] {});
    }
  };
  auto poster = std::make_shared<PostsWhenDestroyed>(PostsWhenDestroyed{executor.get()});
  const auto timer = executor->PostAfter(absl::Hours(1), [poster = std::move(poster)] {});
  EXPECT_TRUE(executor->Cancel(timer));
  Drain(*executor);
}

TEST(SpinBudgetTest, AsManyAsAllowedAndNoMore) {
  SpinBudget budget(2);
  EXPECT_TRUE(budget.TryAcquire());
  EXPECT_TRUE(budget.TryAcquire());
  EXPECT_FALSE(budget.TryAcquire());
  budget.Release();
  EXPECT_TRUE(budget.TryAcquire());
  SpinBudget none(0);
  EXPECT_FALSE(none.TryAcquire());
}

TEST(BlockingPoolTest, WorkRunsAtOnceUpToTheLimitAndTheRestWaits) {
  constexpr int kLimit = 3;
  const auto env = MakeSystemEnv({.max_blocking_threads = kLimit});
  std::mutex mutex;
  std::condition_variable changed;
  int begun = 0;
  int may_end = 0;
  int ended = 0;
  int most = 0;
  constexpr int kWork = 10;
  for (int i = 0; i < kWork; ++i) {
    env->RunBlocking([&] {
      std::unique_lock<std::mutex> lock(mutex);
      most = std::max(most, ++begun - ended);
      changed.notify_all();
      changed.wait(lock, [&] { return ended < may_end; });
      ++ended;
      changed.notify_all();
    });
  }
  std::unique_lock<std::mutex> lock(mutex);
  // All of the limit block at once, so a pool of fewer would hang here. Each that ends makes room
  // for one more: a pool of more would use the time until then to run too many.
  for (; may_end < kWork; ++may_end, changed.notify_all()) {
    changed.wait(lock, [&] { return begun >= std::min(kWork, kLimit + may_end); });
  }
  changed.wait(lock, [&] { return ended == kWork; });
  EXPECT_EQ(most, kLimit);
}

TEST(SystemEnvTest, ClocksGoOnAndCpuTimeIsOfTheThread) {
  const auto env = MakeSystemEnv();
  Clock& clock = env->clock();
  EXPECT_GT(clock.Now(), absl::FromUnixSeconds(1'700'000'000));
  const int64_t monotonic = clock.MonotonicNanos();
  const int64_t cpu = clock.ThreadCpuNanos();
  uint64_t sum = 0;
  while (clock.ThreadCpuNanos() - cpu < 2'000'000) sum += env->random().Next();
  EXPECT_NE(sum, 0u);
  EXPECT_GE(clock.MonotonicNanos() - monotonic, 2'000'000);
}

TEST(SystemEnvTest, RandomNumbersDiffer) {
  const auto env = MakeSystemEnv();
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(env->random().Next());
  for (int i = 0; i < 1000; ++i) EXPECT_LT(env->random().Below(7), 7u);
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(SystemEnvDeathTest, ANetworkThatWasNotGivenIsABrokenInvariant) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(MakeSystemEnv()->network(), "network_ != nullptr");
}

}  // namespace
}  // namespace weir
