#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/host/abi_stamp.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string PluginPath(const std::string& name) {
  return std::string(WEIR_TEST_PLUGINS) + "/" + name + ".so";
}

std::string LoadError(const std::string& path) {
  auto plugin = MakeFilePluginLoader()->Load(path);
  return plugin.ok() ? "OK" : std::string(plugin.status().message());
}

absl::StatusOr<std::unique_ptr<JobDefinition>> Define(const std::string& behave,
                                                      bool describe_only = false) {
  auto plugin = MakeFilePluginLoader()->Load(PluginPath("behaving_job"));
  if (!plugin.ok()) return plugin.status();
  return (*plugin)->Define({.arguments = {{"behave", behave}}, .describe_only = describe_only});
}

TEST(FilePluginLoaderTest, AJobIsLoadedAndDefined) {
  auto job = Define("well");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ((*job)->name, "behaving");
  EXPECT_EQ((*job)->nodes.size(), 4u);
}

TEST(FilePluginLoaderTest, WhatDefineThrowsIsReturned) {
  EXPECT_EQ(Define("throw").status(),
            absl::InvalidArgumentError("define() threw std::runtime_error: no such table"));
  EXPECT_EQ(Define("throw-int").status(), absl::InvalidArgumentError("define() threw int"));
}

TEST(FilePluginLoaderTest, ErrorsOfTheDefinitionAreReturned) {
  EXPECT_EQ(Define("error").status(),
            absl::InvalidArgumentError("behaving_job.cc:12: a window of size 0"));
}

TEST(FilePluginLoaderTest, ADescriptionKeepsTheArgumentsOfAFailedDefinition) {
  auto job = Define("throw", true);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ((*job)->arguments.size(), 2u);
  EXPECT_EQ((*job)->errors.size(), 1u);
}

TEST(FilePluginLoaderTest, AnotherFingerprintIsRefusedAndBothAreShown) {
  EXPECT_THAT(LoadError(PluginPath("other_fingerprint_job")),
              AllOf(HasSubstr("was built for another Weir"), HasSubstr(HostFingerprint()),
                    HasSubstr("c++ 202100L"), HasSubstr("weir_add_job()")));
}

TEST(FilePluginLoaderTest, ALibraryThatIsNoJobIsRefused) {
  EXPECT_THAT(LoadError(PluginPath("plain_library")),
              AllOf(HasSubstr("plain_library.so' cannot be loaded: it is not a Weir job"),
                    HasSubstr("weir_add_job()")));
}

TEST(FilePluginLoaderTest, AMissingSymbolIsNamed) {
  EXPECT_THAT(LoadError(PluginPath("no_symbol_job")),
              HasSubstr("does not export the symbol weir_plugin"));
}

TEST(FilePluginLoaderTest, AnUnresolvedSymbolIsNamedAsInTheSource) {
  EXPECT_THAT(LoadError(PluginPath("unresolved_job")),
              AllOf(HasSubstr("undefined symbol: missing::Function(int)"),
                    HasSubstr("target_link_libraries")));
}

TEST(FilePluginLoaderTest, AFileThatIsNoSharedLibraryIsRefused) {
  EXPECT_THAT(LoadError("/proc/self/exe"), HasSubstr("not a Weir job"));
  EXPECT_THAT(LoadError(WEIR_TEST_PLUGINS), HasSubstr("it is a folder"));
  EXPECT_THAT(LoadError("/dev/null"), HasSubstr("it is no regular file"));
  auto missing = MakeFilePluginLoader()->Load("/no/such/file.so");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/no/such/file.so"));
}

}  // namespace
}  // namespace weir
