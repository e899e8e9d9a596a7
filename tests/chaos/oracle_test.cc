// The verifier finds a result that is lost, repeated or wrong.
#include "tests/chaos/oracle.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::chaos {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OracleTest : public ::testing::Test {
 protected:
  OracleTest() {
    folder_ = ::testing::TempDir() + "/oracle-XXXXXX";
    if (mkdtemp(folder_.data()) == nullptr) abort();
    for (const char* name : {"totals", "sums", "all", "copies"}) {
      std::filesystem::create_directories(folder_ + "/" + name);
    }
    // Two records of each source: keys 0, 1 (7 % 2) and 1 (3 % 2), 0.
    Write("all/part-0",
          "{\"source\":0,\"n\":0}\n{\"source\":0,\"n\":1}\n{\"source\":1,\"n\":0}\n"
          "{\"source\":1,\"n\":1}\n");
    Write("copies/part-0", "{\"source\":1,\"n\":0}\n");
    Write("sums/part-0", "{\"key\":0,\"value\":1}\n{\"key\":1,\"value\":1}\n");
  }
  ~OracleTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  // What is wrong besides the totals, which only a job computes.
  std::vector<std::string> Wrong(int copies = 1) {
    std::vector<std::string> wrong = Verify(folder_, {.count = 2, .keys = 2, .copies = copies});
    std::erase_if(
        wrong, [](const std::string& text) { return text.find("total (") != std::string::npos; });
    return wrong;
  }

  std::string folder_;
};

TEST_F(OracleTest, FindsNothingWrongWithWhatIsRight) {
  EXPECT_THAT(Wrong(), IsEmpty());
  EXPECT_THAT(Wrong(0), IsEmpty());
}

TEST_F(OracleTest, MissesEachTotal) {
  EXPECT_EQ(Verify(folder_, {.count = 2, .keys = 2, .copies = 1}).size(), 4u)
      << "two keys, of one second and of all";
}

TEST_F(OracleTest, FindsALostARepeatedAndAWrongRecord) {
  Write("all/part-0",
        "{\"source\":0,\"n\":0}\n{\"source\":0,\"n\":0}\n{\"source\":1,\"n\":0}\n"
        "{\"source\":1,\"n\":1}\n{\"source\":1,\"n\":7}\n");
  EXPECT_THAT(Wrong(), ElementsAre(HasSubstr("repeated: record (source/n) /0/0, 2 times"),
                                   HasSubstr("lost: record (source/n) /0/1"),
                                   HasSubstr("wrong: record (source/n) /1/7")));
}

TEST_F(OracleTest, FindsAWrongSum) {
  Write("sums/part-0", "{\"key\":0,\"value\":1}\n{\"key\":1,\"value\":2}\n");
  EXPECT_THAT(Wrong(), ElementsAre(HasSubstr("lost: window"), HasSubstr("wrong: window")));
}

TEST_F(OracleTest, CountsCopies) {
  EXPECT_THAT(Wrong(2), ElementsAre(HasSubstr("lost: copy (source/n) /1/0")));
  Write("copies/part-1", "{\"source\":1,\"n\":0}\n");
  EXPECT_THAT(Wrong(1), ElementsAre(HasSubstr("repeated: copy (source/n) /1/0, 2 times")));
  EXPECT_THAT(Wrong(0), IsEmpty());
}

TEST_F(OracleTest, DoesNotSeeWhatIsNotCommittedButThatItIsLeft) {
  std::filesystem::create_directories(folder_ + "/all/.inprogress");
  Write("all/.inprogress/part-9", "{\"source\":0,\"n\":0}\n");
  EXPECT_THAT(Wrong(), ElementsAre(HasSubstr("left behind: ")));
}

}  // namespace
}  // namespace weir::chaos
