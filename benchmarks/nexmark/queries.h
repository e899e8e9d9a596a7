#pragma once

#include "benchmarks/nexmark/bids.h"
#include "benchmarks/nexmark/joins.h"
#include "benchmarks/nexmark/windows.h"

namespace nexmark {

// Calls then(rows) with the result of the query of that name, a stream of records with Row().
// False: there is no such query.
template <class Then>
bool WithQuery(const std::string& name, const Events& events, Then&& then) {
  const auto is = [&](const char* one, auto query) {
    if (name != one) return false;
    then(query(events));
    return true;
  };
  return is("q0", Q0) || is("q1", Q1) || is("q2", Q2) || is("q3", Q3) || is("q5", Q5) ||
         is("q7", Q7) || is("q8", Q8) || is("q11", Q11) || is("q17", Q17);
}

}  // namespace nexmark
