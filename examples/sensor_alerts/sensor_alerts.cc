// Says when a sensor is above a limit, when it is back, and when nothing has been heard of it for a
// while.
#include <weir/sdk.h>

#include <cstdint>
#include <string>

using namespace std::chrono_literals;

struct Reading {
  std::string sensor;
  double celsius = 0;
  weir::EventTime at;
};

struct Alert {
  std::string sensor;
  weir::EventTime at;
  std::string what;
};

struct Watch : weir::KeyedProcess<std::string, Reading, Alert> {
  Watch(double limit, weir::Duration silence) : limit_celsius(limit), silence_after(silence) {}

  weir::ValueState<bool> hot{this, "hot"};
  weir::ValueState<weir::EventTime> heard{this, "heard"};
  weir::EventTimer silence{this, "silence"};

  void Process(const Reading& reading, Context& ctx) override {
    if (heard.Exists() && reading.at <= heard.Get()) return;  // out of order: a newer one was seen
    // The next reading may be here before the watermark that would have fired the timer.
    if (heard.Exists() && reading.at > heard.Get() + silence_after) Silent(ctx);
    const bool is_hot = reading.celsius > limit_celsius;
    if (is_hot != hot.Get())
      ctx.Emit({ctx.key(), reading.at, is_hot ? "too hot" : "back to normal"});
    hot.Set(is_hot);
    heard.Set(reading.at);
    silence.Set(reading.at + silence_after);
  }
  void OnTimer(const weir::EventTimer&, Context& ctx) override { Silent(ctx); }

  void Silent(Context& ctx) {
    ctx.Emit({ctx.key(), heard.Get() + silence_after, "silent"});
    heard.Clear();
  }

  const double limit_celsius;
  const weir::Duration silence_after;
};

WEIR_JOB(job) {
  const auto input =
      job.Arg<std::string>("input", "readings as JSON lines: a file, a folder or a glob");
  const auto output = job.Arg<std::string>("output", "folder or file for the alerts");
  const auto limit = job.Arg<double>("limit-celsius", "above it a sensor is too hot", 80.0);
  const auto silence = job.Arg<weir::Duration>("silence", "a sensor is silent after so long", 5min);

  job.From<Reading>("readings", weir::Files{.path = input},
                    {.timestamp = &Reading::at, .max_delay = 30s})
      .KeyBy(&Reading::sensor)
      .Process<Watch>("watch", limit, silence)
      .To("alerts", weir::Files{.path = output});
}
