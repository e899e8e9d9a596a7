#include "state/schema/type_notation.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TEST(ParseTypeNotation, GivesTheTextAgainWithoutFormerNamesAndDefaults) {
  for (const std::string text :
       {"bool", "int64", "string", "{a:int32,b:list<string>}",
        "map<string,{x:double,y:optional<int8>}>", "tuple<int8,uint16,array<enum<int32>,3>>",
        "{v:int64,next:list<^1>}", "{}", "Money", "my.Codec<a,{b:c}>", "slices<string,{n:int64}>",
        "map<int64,map<string,ttl<double>>>", "{a:{b:list<^2>}}"}) {
    const auto node = ParseTypeNotation(text);
    ASSERT_TRUE(node.ok()) << node.status();
    EXPECT_EQ((*node)->text, text);
  }
  const auto node = ParseTypeNotation("{page/url/uri=00:string,user-id=:int64}");
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ((*node)->text, "{page:string,user-id:int64}");
  const TypeNode::Field& page = (*node)->fields[0];
  EXPECT_THAT(page.former_names, ::testing::ElementsAre("url", "uri"));
  EXPECT_TRUE(page.has_default);
  EXPECT_EQ(page.default_bytes, std::string(1, '\0'));
  EXPECT_TRUE((*node)->fields[1].has_default);
  EXPECT_EQ((*node)->fields[1].default_bytes, "");
}

TEST(ParseTypeNotation, FindsTheRecordAroundAPlace) {
  const auto node = ParseTypeNotation("{a:{b:list<^2>,c:^1}}");
  ASSERT_TRUE(node.ok()) << node.status();
  const TypeNode& inner = *(*node)->fields[0].type;
  EXPECT_EQ(&inner.fields[0].type->parts[0]->Resolved(), node->get());
  EXPECT_EQ(&inner.fields[1].type->Resolved(), &inner);
  EXPECT_EQ(inner.reaches_out, 1u);
  EXPECT_EQ((*node)->reaches_out, 0u);
}

TEST(ParseTypeNotation, RefusesWhatIsNoneAndSaysWhere) {
  for (const auto& [text, why] : {std::pair<std::string, std::string>{"", "no type"},
                                  {"list<", "no type"},
                                  {"list<int8", "no '>'"},
                                  {"list<int8,int8>", "list of 2 types"},
                                  {"array<int8>", "without size"},
                                  {"array<int8,x>", "no number"},
                                  {"{a}", "no ':'"},
                                  {"{:int8}", "no name"},
                                  {"{a:int8;b:int8}", "no ','"},
                                  {"{a=0:int8}", "half a byte"},
                                  {"{a=zz:int8}", "hexadecimal"},
                                  {"^1", "no such record"},
                                  {"{a:^2}", "no such record"},
                                  {"int8x>", "something after"},
                                  {"enum<string>", "no integer"},
                                  {"my<a", "not closed"}}) {
    const absl::Status status = ParseTypeNotation(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << text;
  }
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "list<";
  EXPECT_THAT(std::string(ParseTypeNotation(deep).status().message()),
              HasSubstr("too many types inside"));
  std::string wide = "tuple<int8";
  for (int i = 0; i < 20'000; ++i) wide += ",int8";
  EXPECT_THAT(std::string(ParseTypeNotation(wide + ">").status().message()),
              HasSubstr("too many types"));
  EXPECT_FALSE(ParseTypeNotation(std::string(2 << 20, 'x')).ok());
}

}  // namespace
}  // namespace weir
