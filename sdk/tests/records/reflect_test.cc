#include "weir/reflect.h"

#include <memory>
#include <string>
#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/records/record_zoo.h"
#include "weir/enum_names.h"

namespace weir {
namespace {

using ::testing::ElementsAre;

struct Hidden {
  int x;
  std::unique_ptr<int> y;
  std::array<std::array<int, 2>, 3> z;
  std::string after = "default";
  zoo::Empty empty;
  struct Inner {
    int a, b, c;
  } inner;
  int last{3};
};
template <class T>
struct Generic {
  T value;
  T _value2;
};
struct Ünïcode {
  int größe;
};

TEST(ReflectTest, CountsTheFieldsOfAnAggregateWhateverIsInThem) {
  EXPECT_EQ(kFieldCount<zoo::Empty>, 0u);
  EXPECT_EQ(kFieldCount<zoo::Flat>, 2u);
  EXPECT_EQ(kFieldCount<zoo::Nested>, 4u);
  EXPECT_EQ(kFieldCount<zoo::Containers>, 12u);
  EXPECT_EQ(kFieldCount<zoo::Wide>, 64u);
  EXPECT_EQ(kFieldCount<const Hidden>, 7u);
}

TEST(ReflectTest, NamesTheFieldsInTheirOrder) {
  EXPECT_THAT(FieldNames<Hidden>(), ElementsAre("x", "y", "z", "after", "empty", "inner", "last"));
  EXPECT_THAT(FieldNames<Generic<zoo::Flat>>(), ElementsAre("value", "_value2"));
  EXPECT_THAT(FieldNames<Ünïcode>(), ElementsAre("größe"));
  EXPECT_THAT(FieldNames<zoo::Renamed>(), ElementsAre("user-id", "class"));
  EXPECT_TRUE(FieldNames<zoo::Empty>().empty());
  struct Local {
    int here;
  };
  EXPECT_THAT(FieldNames<Local>(), ElementsAre("here"));
}

TEST(ReflectTest, KnowsTheTypesOfFields) {
  static_assert(std::is_same_v<FieldTypes<zoo::Flat>, std::tuple<std::int64_t, double>>);
  static_assert(std::is_same_v<std::tuple_element_t<2, FieldTypes<Hidden>>,
                               std::array<std::array<int, 2>, 3>>);
  static_assert(std::is_same_v<FieldTypes<zoo::Empty>, std::tuple<>>);
}

TEST(ReflectTest, GivesReferencesToTheFields) {
  zoo::Flat flat{1, 2};
  ForEachField(flat, [](auto& field) { field += 1; });
  EXPECT_EQ(flat.key, 2);
  EXPECT_EQ(flat.value, 3);
  const zoo::Wide wide{};
  VisitFields(wide, [&](const auto&... field) {
    const auto fields = std::tie(field...);
    EXPECT_EQ(&std::get<0>(fields), &wide.a0);
    EXPECT_EQ(&std::get<62>(fields), &wide.g2);
    EXPECT_EQ(&std::get<63>(fields), &wide.last);
  });
}

TEST(ReflectTest, NamesATypeWithoutItsNamespaces) {
  EXPECT_EQ(TypeName<zoo::Flat>(), "Flat");
  EXPECT_EQ(TypeName<Hidden>(), "Hidden");
  EXPECT_EQ(TypeName<Generic<int>>(), "Generic<int>");
  EXPECT_EQ(TypeName<const Hidden::Inner>(), "Inner");
}

enum class Wide16 : std::int16_t {
  kLow = -300,
  kMinus128 = -128,
  kZero = 0,
  kTop = 127,
  kHigh = 128
};
enum Unfixed { kA, kB, kC = 6 };
enum class Truth : bool { kNo, kYes };
enum class Twice { kFirst = 1, kSecond = 1 };

TEST(EnumNamesTest, NamesEnumeratorsFromMinus128To127) {
  EXPECT_EQ(EnumName(zoo::Color::kRed), "kRed");
  EXPECT_EQ(EnumName(zoo::Color::kGreen), "kGreen");
  EXPECT_EQ(EnumName(zoo::Color::kBlue), "kBlue");
  EXPECT_EQ(EnumName(zoo::Color::kFar), "");
  EXPECT_EQ(EnumName(static_cast<zoo::Color>(1)), "");
  EXPECT_EQ(EnumName(zoo::Sign::kMinus), "kMinus");
  EXPECT_EQ(EnumName(Wide16::kMinus128), "kMinus128");
  EXPECT_EQ(EnumName(Wide16::kTop), "kTop");
  EXPECT_EQ(EnumName(Wide16::kLow), "");
  EXPECT_EQ(EnumName(Wide16::kHigh), "");
  EXPECT_EQ(EnumName(kB), "kB");
  EXPECT_EQ(EnumName(kC), "kC");
  EXPECT_EQ(EnumName(Truth::kYes), "kYes");
  EXPECT_EQ(EnumName(Twice::kSecond), "kFirst");
}

TEST(EnumNamesTest, FindsAnEnumeratorByItsName) {
  EXPECT_EQ(EnumFromName<zoo::Color>("kBlue"), zoo::Color::kBlue);
  EXPECT_EQ(EnumFromName<zoo::Sign>("kMinus"), zoo::Sign::kMinus);
  EXPECT_EQ(EnumFromName<Unfixed>("kC"), kC);
  EXPECT_EQ(EnumFromName<Truth>("kNo"), Truth::kNo);
  EXPECT_EQ(EnumFromName<zoo::Color>("blue"), std::nullopt);
  EXPECT_EQ(EnumFromName<zoo::Color>(""), std::nullopt);
}

}  // namespace
}  // namespace weir
