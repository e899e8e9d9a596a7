#include "state/schema/state_converter.h"

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/job_graph.pb.h"
#include "state/schema/state_fit.h"
#include "weir/sdk.h"

namespace weir {
namespace {

using internal::EvolvingFields;
using internal::TypeNotation;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct AddressV1 {
  std::string street;
  std::int16_t number = 0;
};
struct UserV1 {
  std::string name;
  std::int32_t visits = 0;
  bool active = false;
  AddressV1 home;
  std::vector<AddressV1> others;
  std::optional<AddressV1> work;
  std::map<std::string, AddressV1> more;
  float score = 0;
};

// Fields added with defaults, removed, moved, widened, renamed, in inner records too.
struct AddressV2 {
  std::string city = "Zagreb";
  std::int64_t number = 7;
  std::string road;
  static constexpr FormerName kFormerNames[] = {{"road", "street"}};
};
struct UserV2 {
  double score = 1.5;
  std::map<std::string, AddressV2> more;
  std::optional<AddressV2> work;
  std::vector<AddressV2> others;
  AddressV2 home{.city = "Split", .road = ""};
  std::int64_t visits = 0;
  std::string full_name;
  std::vector<std::int32_t> added{1, 2, 3};
  static constexpr FormerName kFormerNames[] = {{"full_name", "called"}, {"full_name", "name"}};
};

UserV1 ExampleV1() {
  return {.name = "Ana",
          .visits = -5,
          .active = true,
          .home = {"Ilica", -3},
          .others = {{"A", 1}, {"B", 2}},
          .work = AddressV1{"C", 300},
          .more = {{"x", {"D", 4}}, {"y", {"E", 5}}},
          .score = 0.25F};
}

template <class From, class To>
StateConverter Converter() {
  auto made = StateConverter::Make(TypeNotation<From>(), TypeNotation<To, EvolvingFields>());
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}
template <class From, class To>
To Convert(const From& value) {
  std::string bytes;
  EncodeValue(value, bytes);
  const auto converted = Converter<From, To>().ConvertValue(bytes);
  EXPECT_TRUE(converted.ok()) << converted.status();
  To result{};
  const absl::Status status = DecodeValue(*converted, result);
  EXPECT_TRUE(status.ok()) << status;
  return result;
}
template <class From, class To>
std::string ErrorOf() {
  const absl::Status status =
      StateConverter::Make(TypeNotation<From>(), TypeNotation<To, EvolvingFields>()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  return std::string(status.message());
}

TEST(StateConverter, ReadsRecordsWhoseFieldsWereAddedRemovedMovedWidenedAndRenamed) {
  const UserV2 user = Convert<UserV1, UserV2>(ExampleV1());
  EXPECT_EQ(user.full_name, "Ana");
  EXPECT_EQ(user.visits, -5);
  EXPECT_EQ(user.score, 0.25);
  EXPECT_EQ(user.added, (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(user.home.road, "Ilica");
  EXPECT_EQ(user.home.number, -3);
  // Of an inner record the default is the inner type's: there it is the field that is new.
  EXPECT_EQ(user.home.city, "Zagreb");
  ASSERT_EQ(user.others.size(), 2u);
  EXPECT_EQ(user.others[1].road, "B");
  EXPECT_EQ(user.others[1].city, "Zagreb");
  EXPECT_EQ(user.work->number, 300);
  EXPECT_EQ(user.more.at("y").road, "E");
}

TEST(StateConverter, GoesBackWhereNothingIsNarrowed) {
  struct Old {
    std::int64_t a = 1;
    std::string b;
  };
  struct New {
    std::string b;
    std::int64_t a = 1;
    std::int64_t c = 9;
  };
  const New newer = Convert<Old, New>({5, "x"});
  EXPECT_EQ(newer.c, 9);
  const Old older = Convert<New, Old>(newer);
  EXPECT_EQ(older.a, 5);
  EXPECT_EQ(older.b, "x");
}

struct NodeV1 {
  std::int32_t value = 0;
  std::vector<NodeV1> children;
};
struct NodeV2 {
  std::vector<NodeV2> children;
  std::int64_t value = 0;
  std::string label = "none";
};

TEST(StateConverter, FollowsARecordThatContainsItself) {
  const NodeV2 tree = Convert<NodeV1, NodeV2>({1, {{2, {}}, {3, {{4, {}}}}}});
  EXPECT_EQ(tree.value, 1);
  EXPECT_EQ(tree.children[1].children[0].value, 4);
  EXPECT_EQ(tree.children[1].children[0].label, "none");
}

template <class To, class From>
void ExpectWidens(From value) {
  struct Old {
    From field{};
  };
  struct New {
    To field{};
  };
  EXPECT_EQ((Convert<Old, New>(Old{value}).field), static_cast<To>(value));
}
TEST(StateConverter, WidensIntegersWithoutLosingAValue) {
  ExpectWidens<std::int64_t>(std::int8_t{-128});
  ExpectWidens<std::int32_t>(std::int16_t{-2});
  ExpectWidens<std::uint64_t>(std::uint8_t{255});
  ExpectWidens<std::int16_t>(std::uint8_t{255});
  ExpectWidens<std::int64_t>(std::uint32_t{0xFFFF'FFFF});
  ExpectWidens<double>(3.25F);
}

TEST(StateConverter, RefusesByNameWhatWouldLoseSomething) {
  struct Old {
    std::int64_t a = 0;
    std::string b;
    std::uint32_t c = 0;
    std::vector<std::int64_t> d;
  };
  struct Narrow {
    std::int32_t a = 0;
  };
  EXPECT_THAT((ErrorOf<Old, Narrow>()),
              AllOf(HasSubstr("'a'"), HasSubstr("int64 cannot become int32")));
  struct OtherKind {
    std::int64_t b = 0;
  };
  EXPECT_THAT((ErrorOf<Old, OtherKind>()),
              AllOf(HasSubstr("'b'"), HasSubstr("string cannot become int64")));
  struct SameWidthSigned {
    std::int32_t c = 0;
  };
  EXPECT_THAT((ErrorOf<Old, SameWidthSigned>()), HasSubstr("uint32 cannot become int32"));
  struct Unsigned {
    std::uint64_t a = 0;
  };
  EXPECT_THAT((ErrorOf<Old, Unsigned>()), HasSubstr("int64 cannot become uint64"));
  struct Inner {
    std::vector<std::int32_t> d;
  };
  EXPECT_THAT((ErrorOf<Old, Inner>()),
              AllOf(HasSubstr("'d'"), HasSubstr("int64 cannot become int32")));
  struct Wrapped {
    std::optional<std::int64_t> a;
  };
  EXPECT_THAT((ErrorOf<Old, Wrapped>()), HasSubstr("int64 cannot become optional<int64>"));
  EXPECT_THAT((ErrorOf<std::map<std::int32_t, int>, std::map<std::int64_t, int>>()),
              HasSubstr("the key"));
  EXPECT_THAT((ErrorOf<std::array<int, 2>, std::array<int, 3>>()),
              HasSubstr("array<int32,2> cannot become"));
}

struct Twice {
  std::int64_t b = 0;
  std::int64_t c = 0;
  static constexpr FormerName kFormerNames[] = {{"b", "a"}, {"c", "a"}};
};
struct Swapped {
  std::int64_t b = 4;
  std::int64_t a = 0;
  static constexpr FormerName kFormerNames[] = {{"b", "a"}};
};

TEST(StateConverter, RefusesAmbiguousFormerNames) {
  struct Old {
    std::int64_t a = 0;
  };
  EXPECT_THAT((ErrorOf<Old, Twice>()), HasSubstr("two fields"));
  // A field that has this name now is that field.
  const Swapped swapped = Convert<Old, Swapped>({3});
  EXPECT_EQ(swapped.a, 3);
  EXPECT_EQ(swapped.b, 4);
}

TEST(StateConverter, LeavesWhatIsAroundACodecOfItsOwn) {
  const auto same = StateConverter::Make("{a:Money,b:int32}", "{a:Money,b=00000000:int32}");
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->same());
  EXPECT_EQ(*same->ConvertValue("whatever"), "whatever");
  const absl::Status status =
      StateConverter::Make("{a:Money,b:int32}", "{a:Money,b:int64}").status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'a'"), HasSubstr("codec of its own")));
  EXPECT_THAT(std::string(StateConverter::Make("Money", "Cash").status().message()),
              HasSubstr("Money cannot become Cash"));
}

TEST(StateConverter, ANewFieldWithoutADefaultIsRefused) {
  EXPECT_THAT(std::string(StateConverter::Make("{a:int8}", "{a:int8,b:int8}").status().message()),
              AllOf(HasSubstr("'b'"), HasSubstr("no default")));
}

// --- Layouts of keyed state.

struct CountV1 {
  std::int32_t n = 0;
};
struct CountV2 {
  std::int64_t n = 0;
  std::int64_t sum = 11;
};

template <class... Parts>
std::string Bytes(const Parts&... parts) {
  std::string bytes;
  (EncodeValue(parts, bytes), ...);
  return bytes;
}
std::string Varint(std::uint64_t value) {
  std::string bytes;
  Encoder(bytes).Varint(value);
  return bytes;
}

TEST(StateConverter, ConvertsEachLayoutOfAKeyGroup) {
  const std::string old_entries =
      Varint(2) + Bytes(std::string("a"), CountV1{1}) + Bytes(std::string("b"), CountV1{2});
  const std::string new_entries =
      Varint(2) + Bytes(std::string("a"), CountV2{1, 11}) + Bytes(std::string("b"), CountV2{2, 11});
  const auto convert = [](const std::string& kind, const std::string& bytes) {
    const auto converter =
        StateConverter::Make(kind + "<string," + TypeNotation<CountV1>() + ">",
                             kind + "<string," + TypeNotation<CountV2, EvolvingFields>() + ">");
    EXPECT_TRUE(converter.ok()) << converter.status();
    const auto converted = converter->ConvertKeyGroup(bytes);
    EXPECT_TRUE(converted.ok()) << converted.status();
    return converted.value_or("");
  };
  EXPECT_EQ(convert("map", old_entries), new_entries);
  EXPECT_EQ(convert("map", ""), "");
  const std::string through = Bytes(std::int64_t{59});
  const std::string slices[] = {Bytes(std::int64_t{60}), Bytes(std::int64_t{120})};
  EXPECT_EQ(convert("slices", through + slices[0] + old_entries + slices[1] + old_entries),
            through + slices[0] + new_entries + slices[1] + new_entries);
  const auto ttl =
      StateConverter::Make("map<string,ttl<" + TypeNotation<CountV1>() + ">>",
                           "map<string,ttl<" + TypeNotation<CountV2, EvolvingFields>() + ">>");
  ASSERT_TRUE(ttl.ok()) << ttl.status();
  EXPECT_EQ(*ttl->ConvertKeyGroup(Varint(1) + Bytes(std::string("a"), std::int64_t{8}, CountV1{1})),
            Varint(1) + Bytes(std::string("a"), std::int64_t{8}, CountV2{1, 11}));
}

TEST(StateConverter, RefusesDamagedBytesWhereverTheyEnd) {
  std::string bytes = Varint(2);
  for (const char* key : {"a", "b"}) bytes += Bytes(std::string(key), ExampleV1());
  const auto converter =
      StateConverter::Make("map<string," + TypeNotation<UserV1>() + ">",
                           "map<string," + TypeNotation<UserV2, EvolvingFields>() + ">");
  ASSERT_TRUE(converter.ok()) << converter.status();
  ASSERT_TRUE(converter->ConvertKeyGroup(bytes).ok());
  for (size_t length = 1; length < bytes.size(); ++length) {
    EXPECT_EQ(converter->ConvertKeyGroup(bytes.substr(0, length)).status().code(),
              absl::StatusCode::kDataLoss)
        << length;
  }
  EXPECT_EQ(converter->ConvertKeyGroup(bytes + "x").status().code(), absl::StatusCode::kDataLoss);
  // Whatever the bytes are, it ends, and takes no memory for counts that they cannot have.
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = bytes;
    for (int flips = 0; flips < 3; ++flips)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    converter->ConvertKeyGroup(damaged).IgnoreError();
  }
}

// --- Against a graph.

TEST(CheckStateFits, SaysOfEachStateWhetherAndWhyNot) {
  proto::Node node;
  node.set_uid("count");
  node.set_kind(proto::OPERATOR);
  proto::StateDescriptor* declared = node.add_states();
  declared->set_name("clicks");
  declared->set_type("map<string," + TypeNotation<CountV2>() + ">");
  declared->set_evolution("map<string," + TypeNotation<CountV2, EvolvingFields>() + ">");
  declared = node.add_states();
  declared->set_name("waiting");
  declared->set_type("split<int64>");
  proto::StateDescriptor written;
  written.set_name("clicks");
  written.set_type("map<string," + TypeNotation<CountV1>() + ">");
  EXPECT_TRUE(CheckStateFits(written, node).ok());
  written.set_type("map<int64," + TypeNotation<CountV1>() + ">");
  const absl::Status other_key = CheckStateFits(written, node);
  EXPECT_EQ(other_key.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other_key.message()),
              AllOf(HasSubstr("'clicks'"), HasSubstr("'count'"), HasSubstr("the key")));
  written.set_name("gone");
  EXPECT_EQ(CheckStateFits(written, node).code(), absl::StatusCode::kNotFound);
  written.set_name("waiting");
  written.set_type("int32");
  written.set_division(proto::SPLIT_LIST);
  EXPECT_TRUE(CheckStateFits(written, node).ok());
  written.set_division(proto::UNION_LIST);
  EXPECT_THAT(std::string(CheckStateFits(written, node).message()), HasSubstr("dealt out"));
  node.set_kind(proto::SOURCE);
  EXPECT_TRUE(CheckStateFits(written, node).ok());
}

}  // namespace
}  // namespace weir
