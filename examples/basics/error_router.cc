// Good measurements to one place, wrong ones with the reason to another: lines that are no JSON,
// values that cannot be.
#include <weir/sdk.h>

#include <cstdint>
#include <string>

struct Measurement {
  std::int64_t id = 0;
  double value = 0;
  weir::EventTime at;
};
struct Wrong {
  std::string what;
  std::string why;
};

constexpr weir::SideOutput<Wrong> kWrong{"wrong"};

struct Validate : weir::ProcessFunction<Measurement, Measurement> {
  void Process(const Measurement& measurement, Context& ctx) override {
    if (measurement.value < 0) {
      ctx.Emit(kWrong, {std::to_string(measurement.id), "negative value"});
    } else {
      ctx.Emit(measurement);
    }
  }
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "measurements as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the good ones");
  const auto errors = job.Arg<std::string>("errors", "folder or file for the wrong ones");

  const auto read = job.From<Measurement>(
      "measurements", weir::Files{.path = input, .malformed = weir::Malformed::kSideOutput},
      {.timestamp = &Measurement::at});
  auto valid = read.Process<Validate>("validate");
  valid.To("good", weir::Files{.path = output});
  const auto unread = read.Side(weir::kMalformed).Map([](const weir::MalformedRecord& record) {
    return Wrong{record.text, record.reason};
  });
  valid.Side(kWrong).Union(unread).To("wrong-out", weir::Files{.path = errors});
}
