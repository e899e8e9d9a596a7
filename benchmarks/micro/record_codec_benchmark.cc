#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "weir/codec.h"

// Encoding, decoding and hashing of whole batches, against a plain copy of as many bytes.
namespace weir {
namespace {

constexpr std::size_t kRecords = 1024;

// 104 bytes without padding: copied as it is.
struct FixedLayout {
  std::int64_t key;
  EventTime at;
  double a, b, c, d, e, f;
  std::int64_t g, h, i, j, k;
};
// As many numbers, but with padding: field by field.
struct Padded {
  std::int64_t key;
  EventTime at;
  double a, b, c, d, e, f;
  std::int64_t g, h, i, j;
  std::int32_t k;
  bool l;
};
// Two short strings, which need no memory of their own.
struct TwoStrings {
  std::string user;
  std::string page;
  EventTime at;
};
// About a hundred bytes encoded, in strings on the heap.
struct LongStrings {
  std::string user;
  std::string page;
  std::string agent;
  EventTime at;
};

template <class T>
T Make(std::mt19937_64& random) {
  if constexpr (!std::is_aggregate_v<T>) {
    return static_cast<T>(random());
  } else {
    T record{};
    ForEachField(record, [&random](auto& field) {
      using F = std::remove_reference_t<decltype(field)>;
      if constexpr (std::is_same_v<F, std::string>) {
        field.assign((std::is_same_v<T, LongStrings> ? 24 : 6) + random() % 8,
                     static_cast<char>('a' + random() % 26));
      } else if constexpr (std::is_same_v<F, EventTime>) {
        field = EventTime::FromTicks(static_cast<Ticks>(random()));
      } else {
        field = static_cast<F>(random() % 2);
      }
    });
    return record;
  }
}

template <class T>
void Fill(Batch<T>& batch) {
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < kRecords; ++i) batch.records.emplace_back(Make<T>(random));
}

void Report(benchmark::State& state, std::size_t bytes) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kRecords));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

template <class T>
void BM_Encode(benchmark::State& state) {
  Batch<T> batch;
  Fill(batch);
  const RecordType& type = RecordTypeOf<T>();
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    benchmark::DoNotOptimize(type.Encode(batch, 0, std::size_t{1} << 30, bytes));
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
  Report(state, bytes.size());
}

template <class T>
void BM_Decode(benchmark::State& state) {
  Batch<T> batch;
  Fill(batch);
  const RecordType& type = RecordTypeOf<T>();
  std::string bytes;
  type.Encode(batch, 0, std::size_t{1} << 30, bytes);
  Batch<T> decoded;
  for (auto _ : state) {
    decoded.Clear();
    const absl::Status status = type.Decode(bytes, kRecords, decoded);
    if (!status.ok()) state.SkipWithError("damaged");
    benchmark::DoNotOptimize(decoded.records.data());
    benchmark::ClobberMemory();
  }
  Report(state, bytes.size());
}

// As many bytes as the encoding of T, copied at once.
template <class T>
void BM_Copy(benchmark::State& state) {
  Batch<T> batch;
  Fill(batch);
  std::string bytes;
  RecordTypeOf<T>().Encode(batch, 0, std::size_t{1} << 30, bytes);
  std::string copy;
  for (auto _ : state) {
    copy.clear();
    copy.append(bytes);
    benchmark::DoNotOptimize(copy.data());
    benchmark::ClobberMemory();
  }
  Report(state, bytes.size());
}

BENCHMARK(BM_Encode<FixedLayout>);
BENCHMARK(BM_Copy<FixedLayout>);
BENCHMARK(BM_Encode<Padded>);
BENCHMARK(BM_Encode<TwoStrings>);
BENCHMARK(BM_Encode<LongStrings>);
BENCHMARK(BM_Decode<FixedLayout>);
BENCHMARK(BM_Decode<Padded>);
BENCHMARK(BM_Decode<TwoStrings>);
BENCHMARK(BM_Decode<LongStrings>);

template <class K>
void BM_Hash(benchmark::State& state) {
  std::vector<K> keys;
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < kRecords; ++i) {
    if constexpr (std::is_same_v<K, std::string>) {
      keys.push_back("user-" + std::to_string(random() % 1'000'000));
    } else if constexpr (std::is_same_v<K, TwoStrings>) {
      keys.push_back(Make<K>(random));
    } else {
      keys.push_back(static_cast<K>(random()));
    }
  }
  std::vector<std::uint64_t> hashes(kRecords);
  for (auto _ : state) {
    for (std::size_t i = 0; i < kRecords; ++i) hashes[i] = KeyHash(keys[i]);
    benchmark::DoNotOptimize(hashes.data());
    benchmark::ClobberMemory();
  }
  Report(state, kRecords * sizeof(K));
}

BENCHMARK(BM_Hash<std::int64_t>);
BENCHMARK(BM_Hash<std::int32_t>);
BENCHMARK(BM_Hash<std::string>);
BENCHMARK(BM_Hash<TwoStrings>);

template <class T>
void BM_Scatter(benchmark::State& state) {
  Batch<T> source;
  Fill(source);
  const RecordType& type = RecordTypeOf<T>();
  std::vector<std::uint32_t> target;
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < kRecords; ++i) target.push_back(random() % 4);
  Batch<T> from;
  Batch<T> to[4];
  BatchBase* const pointers[] = {&to[0], &to[1], &to[2], &to[3]};
  for (auto _ : state) {
    type.CopyRange(source, 0, kRecords, from);
    for (Batch<T>& batch : to) batch.Clear();
    type.Scatter(from, target.data(), pointers);
    benchmark::ClobberMemory();
  }
  Report(state, kRecords * sizeof(T));
}

BENCHMARK(BM_Scatter<FixedLayout>);
BENCHMARK(BM_Scatter<std::int64_t>);
BENCHMARK(BM_Scatter<TwoStrings>);

template <class T>
void BM_WriteJson(benchmark::State& state) {
  Batch<T> batch;
  Fill(batch);
  const RecordType& type = RecordTypeOf<T>();
  std::string text;
  for (auto _ : state) {
    text.clear();
    for (std::size_t i = 0; i < kRecords; ++i) type.WriteJson(batch, i, text);
    benchmark::DoNotOptimize(text.data());
  }
  Report(state, text.size());
}

BENCHMARK(BM_WriteJson<FixedLayout>);
BENCHMARK(BM_WriteJson<TwoStrings>);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
