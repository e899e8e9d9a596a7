// Types that cannot be records, one for each word that can be defined.
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "weir/codec.h"

struct Inner {
  int sound;
#ifdef POINTER
  const char* text;
#endif
};

class WithConstructor {
 public:
  explicit WithConstructor(int value) : value_(value) {}

 private:
  int value_;
};

struct Base {
  int in_base;
};

#ifdef BASE
struct Order : Base {
#else
struct Order {
#endif
  std::string name;
  std::vector<Inner> inner;
#ifdef VIEW
  std::string_view view;
#endif
#ifdef C_ARRAY
  int numbers[3];
#endif
#ifdef NOT_PLAIN
  std::vector<WithConstructor> private_parts;
#endif
#ifdef VARIANT
  std::variant<int, double> either;
#endif
#ifdef OTHER_DURATION
  std::chrono::seconds took;
#endif
#ifdef LONG_DOUBLE
  long double amount;
#endif
#ifdef MOVE_ONLY
  std::unique_ptr<int> owned;
#endif
#ifdef CONST_FIELD
  const int fixed = 1;
#endif
#ifdef REFERENCE
  int& other;
#endif
#ifdef UNION
  union {
    int a;
    float b;
  } either;
#endif
};

#ifdef TOO_MANY
struct Many {
  int a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2, c3, c4, c5, c6, c7,
      c8, c9, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, f0, f1, f2, f3, f4, f5,
      f6, f7, f8, f9, g0, g1, g2, g3, g4;
};
#else
using Many = Order;
#endif

#ifdef NAMES
struct Named {
  int a, b;
  static constexpr std::array<std::string_view, 1> kFieldNames = {"a"};
};
#else
using Named = Order;
#endif

const weir::RecordType& Orders() {
  return weir::RecordTypeOf<Order>();  // wrong
}
const weir::RecordType& Manies() {
  return weir::RecordTypeOf<Many>();  // wrong: TOO_MANY
}
const weir::RecordType& Names() {
  return weir::RecordTypeOf<Named>();  // wrong: NAMES
}

std::uint64_t HashOf() {
#ifdef KEY
  return weir::KeyHash("not a std::string");  // wrong: KEY
#else
  return weir::KeyHash(std::string("a string"));
#endif
}
