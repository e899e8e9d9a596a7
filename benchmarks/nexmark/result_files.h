#pragma once

#include <map>
#include <string>

#include "benchmarks/nexmark/result_digest.h"

namespace nexmark {

// The digest of the rows in the visible files below `folder`, a JSON string a line. A test fails if
// a line is none.
ResultDigest DigestOfFiles(const std::string& folder);

// By query, from testdata/expected/<set>/digests.txt.
std::map<std::string, ResultDigest> ExpectedDigests(const std::string& set);

}  // namespace nexmark
