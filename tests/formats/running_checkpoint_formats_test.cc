// Checkpoints of running jobs that earlier versions wrote are read for ever: checkpoint_v2 has
// records in flight, checkpoint_v3 has state in files of RocksDB, checkpoint_v3_databases has what
// became of it when its two subtasks became one, which has the databases of both, checkpoint_v5 has
// keyed state in parts (version 5) and what has changed of it (version 4), checkpoint_v6 the same
// in parts by other bits (version 6), checkpoint_v7 has the files of checkpoint_v3 and logs beside
// them. The first two and the last two were made after docs/FORMATS.md, the second around files of
// RocksDB 7.8; none is ever made again.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/little_endian.h"
#include "common/base/strings.h"
#include "common/env/system/posix_file_system.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/exchange/in_flight.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "state/store/checkpoint_folder.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "weir/cached_table.h"
#include "weir/hash.h"
#include "weir/state_codec.h"

namespace weir {
namespace {

constexpr uint32_t kMaxParallelism = 128;

class RunningCheckpointFormatTest : public testing::Test {
 protected:
  // The metadata of the folder, which must say what `text` does.
  proto::CheckpointMetadata ReadMetadata(const std::string& folder, const std::string& text) {
    proto::CheckpointMetadata expected;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        *ReadFile(files_, StrCat(WEIR_FORMATS "/", text), 1 << 20), &expected));
    CheckpointFolder checkpoint(files_, folder);
    proto::CheckpointMetadata metadata;
    const absl::Status status = checkpoint.ReadMetadata(&metadata);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(metadata.DebugString(), expected.DebugString());
    const absl::Status checked =
        checkpoint.CheckFiles(metadata, CheckpointFolder::FileCheck::kDigest);
    EXPECT_TRUE(checked.ok()) << checked;
    return metadata;
  }
  // To be started from, with the operators as the graph's nodes in their order.
  static proto::JobRestore RestoreOf(const proto::CheckpointMetadata& metadata,
                                     const std::string& folder) {
    proto::JobRestore restore;
    restore.set_checkpoint_id(metadata.checkpoint_id());
    restore.set_directory(folder);
    *restore.mutable_files() = metadata.files();
    for (const proto::OperatorCheckpoint& of : metadata.operators()) {
      proto::OperatorRestore& restored = *restore.add_operators();
      restored.set_node(static_cast<uint32_t>(restore.operators_size() - 1));
      *restored.mutable_checkpoint() = of;
    }
    return restore;
  }
  static proto::Node& AddNode(proto::JobGraph& graph, const proto::OperatorCheckpoint& of,
                              proto::NodeKind kind, uint32_t parallelism) {
    graph.set_max_parallelism(kMaxParallelism);
    proto::Node& node = *graph.add_nodes();
    node.set_uid(of.uid());
    node.set_kind(kind);
    node.set_parallelism(parallelism);
    *node.mutable_states() = of.states();
    proto::Vertex& vertex = *graph.add_vertices();
    vertex.set_id(static_cast<uint32_t>(graph.vertices_size() - 1));
    vertex.add_nodes(static_cast<uint32_t>(graph.nodes_size() - 1));
    vertex.set_parallelism(parallelism);
    return node;
  }

  PosixFileSystem files_;
};

// What is read of a channel, in words.
std::vector<std::string> Elements(const std::string& bytes) {
  std::vector<std::string> elements;
  InFlightReader reader(bytes);
  InFlightReader::Element element;
  for (auto more = reader.Next(element);; more = reader.Next(element)) {
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return elements;
    if (element.records == 0) {
      elements.push_back(StrCat("watermark ", element.watermark));
      continue;
    }
    Decoder in(element.message.substr(1));
    for (uint32_t i = 0; i < element.records; ++i) {
      std::int64_t id = 0;
      std::string who;
      EXPECT_TRUE(DecodeValue(in, id) && DecodeValue(in, who));
      elements.push_back(StrCat(id, " ", who));
    }
    EXPECT_EQ(in.remaining(), 0u);
  }
}

TEST_F(RunningCheckpointFormatTest, RecordsInFlightOfVersion2AreRead) {
  const std::string folder = WEIR_FORMATS "/checkpoint_v2";
  const proto::CheckpointMetadata metadata = ReadMetadata(folder, "checkpoint_v2.textproto");
  proto::JobGraph graph;
  AddNode(graph, metadata.operators(0), proto::SOURCE, 1);
  AddNode(graph, metadata.operators(1), proto::OPERATOR, 2);
  proto::RecordSchema& schema = *graph.mutable_nodes(0)->add_outputs()->mutable_schema();
  schema.set_type_name("Flight");
  for (const auto& [name, type] : {std::pair("id", "int64"), std::pair("who", "string")}) {
    proto::Field& field = *schema.add_fields();
    field.set_name(name);
    field.set_type(type);
  }
  proto::Edge& edge = *graph.add_edges();
  edge.set_to_node(1);
  edge.set_partitioning(proto::HASH);
  const auto restored =
      ReadTaskStates(files_, RestoreOf(metadata, folder), graph, {{0, {0}}, {1, {0, 0}}}, 0);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->at({0, 0})->front().lists.at(0).items, std::vector<std::string>{"one"});
  const OperatorState& first = restored->at({1, 0})->front();
  EXPECT_EQ(first.watermark, 1000);
  std::vector<uint32_t> groups;
  const absl::Status read =
      first.keyed.at(0).ForEachKeyGroup([&](uint32_t group, std::string_view, bool changes) {
        EXPECT_FALSE(changes);
        groups.push_back(group);
        return absl::OkStatus();
      });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(groups, std::vector<uint32_t>{7});
  ASSERT_EQ(first.in_flight.size(), 1u);
  EXPECT_EQ(Elements(first.in_flight[0].elements),
            (std::vector<std::string>{"7 seven", "8 eight", "watermark 1100", "9 nine and more",
                                      "watermark 1200"}));
  const OperatorState& second = restored->at({1, 1})->front();
  ASSERT_EQ(second.in_flight.size(), 1u);
  EXPECT_EQ(Elements(second.in_flight[0].elements),
            (std::vector<std::string>{"7 seven", "8 eight"}));
}

// What checkpoint_v3 holds, and `logs` of checkpoint_v7 change.
using Totals = std::map<std::int64_t, std::int64_t>;
using Seen = std::map<std::int64_t, std::pair<Ticks, std::string>>;
Totals ExpectedTotals(bool logs) {
  Totals totals;
  for (std::int64_t key = 0; key < 22; ++key) totals[key] = key * 10 + (key < 20 ? 0 : 1);
  totals.erase(3);
  totals.erase(4);
  if (!logs) return totals;
  totals.erase(6);
  totals.erase(12);
  for (const std::int64_t key : {30, 31}) totals[key] = key * 10;
  totals[3] = 33;
  totals[5] = 555;
  return totals;
}
Seen ExpectedSeen(bool logs) {
  Seen seen;
  for (std::int64_t key = 0; key < 22; ++key) seen[key] = {1000 + key, StrCat("seen ", key)};
  if (!logs) return seen;
  seen[9] = {5000, "seen again"};
  seen[40] = {6000, "new"};
  return seen;
}

struct Stored {
  const char* directory;
  const char* checkpoint;
  bool logs = false;
};
class FilesOfStoresTest : public RunningCheckpointFormatTest,
                          public testing::WithParamInterface<Stored> {};

TEST_P(FilesOfStoresTest, OfAnyVersionAreRead) {
  const std::string folder =
      StrCat(WEIR_FORMATS "/", GetParam().directory, "/", GetParam().checkpoint);
  const proto::CheckpointMetadata metadata =
      ReadMetadata(folder, StrCat(GetParam().directory, ".textproto"));
  const std::string local = StrCat(testing::TempDir(), "/weir_formats_", getpid());
  RocksDbBackend backend({.directory = local});
  // At another parallelism, key group by key group.
  proto::JobGraph graph;
  AddNode(graph, metadata.operators(0), proto::OPERATOR, 3);
  Totals totals;
  Seen seen;
  {
    const auto restored = ReadTaskStates(files_, RestoreOf(metadata, folder), graph,
                                         {{0, {0, 0, 0}}}, 0, &backend, /*in_store=*/false);
    ASSERT_TRUE(restored.ok()) << restored.status();
    for (const auto& [task, state] : *restored) {
      for (const OperatorState::Keyed& keyed : state->front().keyed) {
        const absl::Status read =
            keyed.ForEachKeyGroup([&](uint32_t group, std::string_view bytes, bool) {
              Decoder in(bytes);
              std::uint64_t count = 0;
              EXPECT_TRUE(in.Varint(count));
              for (std::uint64_t i = 0; i < count; ++i) {
                std::int64_t key = 0;
                EXPECT_TRUE(DecodeValue(in, key));
                EXPECT_EQ(KeyGroupOf(KeyHash(key), kMaxParallelism), group);
                EXPECT_TRUE(keyed.name == "totals" ? DecodeValue(in, totals[key])
                                                   : DecodeValue(in, seen[key].first) &&
                                                         DecodeValue(in, seen[key].second));
              }
              EXPECT_EQ(in.remaining(), 0u);
              return absl::OkStatus();
            });
        EXPECT_TRUE(read.ok()) << read;
      }
    }
  }
  EXPECT_EQ(totals, ExpectedTotals(GetParam().logs));
  EXPECT_EQ(seen, ExpectedSeen(GetParam().logs));
  // At the same, the files are taken up.
  const uint32_t parallelism = metadata.operators(0).parallelism();
  proto::JobGraph same;
  AddNode(same, metadata.operators(0), proto::OPERATOR, parallelism);
  const auto restored = ReadTaskStates(files_, RestoreOf(metadata, folder), same,
                                       {{0, std::vector<uint32_t>(parallelism, 0)}}, 0, &backend,
                                       /*in_store=*/true);
  ASSERT_TRUE(restored.ok()) << restored.status();
  totals.clear();
  for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
    const auto& parts = restored->at({0, subtask})->front().stored;
    ASSERT_NE(parts, nullptr);
    auto store = backend.Open(0, subtask, parts.get());
    ASSERT_TRUE(store.ok()) << store.status();
    auto column = (*store)->OpenColumn("totals", ColumnLayout::kEntries);
    ASSERT_TRUE(column.ok()) << column.status();
    const absl::Status scanned =
        (*column)->View().value()->Scan("", "\xff", [&](std::string_view key, std::string_view v) {
          std::int64_t number = 0;
          Decoder in(key.substr(2));
          EXPECT_TRUE(DecodeValue(in, number));
          Decoder value(v);
          EXPECT_TRUE(DecodeValue(value, totals[number]));
          return true;
        });
    EXPECT_TRUE(scanned.ok()) << scanned;
  }
  EXPECT_EQ(totals, ExpectedTotals(GetParam().logs));
  std::filesystem::remove_all(local);
}

INSTANTIATE_TEST_SUITE_P(Stores, FilesOfStoresTest,
                         testing::Values(Stored{"checkpoint_v3", "chk-3"},
                                         Stored{"checkpoint_v3_databases", "chk-4"},
                                         Stored{"checkpoint_v7", "chk-5", true}));

// What checkpoint_v5 and checkpoint_v6 hold: many keys of one key group, and one each of others.
using Notes = std::map<std::int64_t, std::string>;
constexpr uint32_t kFullGroup = 5;
Notes ExpectedNotes() {
  Notes notes;
  for (std::int64_t key = 0; key < 10'000; ++key) {
    if (key >= 20 && KeyGroupOf(KeyHash(key), kMaxParallelism) != kFullGroup) continue;
    notes[key] = StrCat("note ", key, " ", std::string(200, static_cast<char>('a' + key % 26)));
  }
  notes.erase(7);
  notes[8] = "changed";
  notes[-1] = "new";
  return notes;
}

class PartsFormatTest : public RunningCheckpointFormatTest,
                        public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Versions, PartsFormatTest,
                         testing::Values("checkpoint_v5", "checkpoint_v6"));

TEST_P(PartsFormatTest, KeyedStateInPartsAndChangesOfItAreRead) {
  const std::string folder = StrCat(WEIR_FORMATS "/", GetParam(), "/chk-2");
  const proto::CheckpointMetadata metadata = ReadMetadata(folder, StrCat(GetParam(), ".textproto"));
  using Table = internal::NamedTable<std::int64_t, std::string>;
  for (const bool later : {false, true}) {
    for (const uint32_t parallelism : {2u, 3u}) {
      proto::JobGraph graph;
      AddNode(graph, metadata.operators(0), proto::OPERATOR, parallelism);
      const auto restored = ReadTaskStates(files_, RestoreOf(metadata, folder), graph,
                                           {{0, std::vector<uint32_t>(parallelism, 0)}}, 0);
      ASSERT_TRUE(restored.ok()) << restored.status();
      Notes found;
      for (const auto& [task, state] : *restored) {
        const OperatorState::Keyed& keyed = state->front().keyed.at(0);
        Table table("notes", KeyGroupRangeOf(task.second, kMaxParallelism, parallelism),
                    kMaxParallelism);
        if (later) {
          auto parts = keyed.stored->TakeParts();
          ASSERT_TRUE(parts.ok()) << parts.status();
          ASSERT_NE(*parts, nullptr);
          ASSERT_TRUE(table.LoadLater(*std::move(parts)));
        }
        const absl::Status read =
            keyed.ForEachKeyGroup([&](uint32_t group, std::string_view bytes, bool changes) {
              return changes ? table.ReadChanges(group, bytes) : table.ReadKeyGroup(group, bytes);
            });
        ASSERT_TRUE(read.ok()) << read;
        table.table.ForEach([&](std::int64_t key, const std::string& note) {
          EXPECT_TRUE(found.emplace(key, note).second);
        });
      }
      EXPECT_EQ(found, ExpectedNotes());
    }
  }
}

}  // namespace
}  // namespace weir
