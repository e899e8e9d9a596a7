#include "runtime/time/watermark_valve.h"

#include <algorithm>

#include "common/base/check.h"

namespace weir {

WatermarkValve::WatermarkValve(size_t channels)
    : channels_(channels), active_(channels), aligned_(channels) {
  WEIR_CHECK_GT(channels, 0u);
  while (leaves_ < channels) leaves_ *= 2;
  minima_.assign(leaves_ * 2, kMaxTicks);
  for (size_t i = 0; i < channels; ++i) UpdateMinimum(i);
}

WatermarkValve::ChannelState WatermarkValve::channel(size_t index) const {
  const Channel& channel = channels_[index];
  const bool active = channel.state == State::kActive;
  return {channel.watermark, channel.state == State::kIdle, channel.state == State::kFinished,
          active && !channel.aligned};
}

void WatermarkValve::UpdateMinimum(size_t channel) {
  size_t node = leaves_ + channel;
  minima_[node] = channels_[channel].aligned ? channels_[channel].watermark : kMaxTicks;
  for (node /= 2; node >= 1; node /= 2) {
    minima_[node] = std::min(minima_[2 * node], minima_[2 * node + 1]);
  }
}

void WatermarkValve::Align(size_t channel, bool aligned) {
  if (channels_[channel].aligned != aligned) {
    channels_[channel].aligned = aligned;
    aligned ? ++aligned_ : --aligned_;
  }
  UpdateMinimum(channel);
}

void WatermarkValve::EmitWatermark(Ticks watermark, TimeEvents& out) {
  if (watermark <= watermark_) return;
  watermark_ = watermark;
  out.push_back({TimeEventKind::kWatermark, watermark});
}

void WatermarkValve::EmitMinimum(TimeEvents& out) {
  if (aligned_ > 0) EmitWatermark(minima_[1], out);
}

void WatermarkValve::EmitGreatestOfIdle(TimeEvents& out) {
  Ticks greatest = kMinTicks;
  for (const Channel& channel : channels_) {
    if (channel.state == State::kIdle) greatest = std::max(greatest, channel.watermark);
  }
  EmitWatermark(greatest, out);
}

void WatermarkValve::OnWatermark(size_t index, Ticks watermark, TimeEvents& out) {
  if (watermark == kMaxTicks) {
    OnFinished(index, out);
    return;
  }
  Channel& channel = channels_[index];
  if (channel.state != State::kActive || watermark <= channel.watermark) return;
  channel.watermark = watermark;
  if (channel.aligned || watermark >= watermark_) Align(index, true);
  EmitMinimum(out);
}

void WatermarkValve::OnIdle(size_t index, TimeEvents& out) {
  Channel& channel = channels_[index];
  if (channel.state != State::kActive) return;
  channel.state = State::kIdle;
  --active_;
  Align(index, false);
  const bool held_minimum = channel.watermark == watermark_;
  if (active_ == 0) {
    if (held_minimum) EmitGreatestOfIdle(out);
    idle_ = true;
    out.push_back({TimeEventKind::kIdle});
  } else if (held_minimum) {
    EmitMinimum(out);
  }
}

void WatermarkValve::OnActive(size_t index, TimeEvents& out) {
  Channel& channel = channels_[index];
  if (channel.state != State::kIdle) return;
  channel.state = State::kActive;
  ++active_;
  if (channel.watermark >= watermark_) Align(index, true);
  if (idle_) {
    idle_ = false;
    out.push_back({TimeEventKind::kActive});
  }
}

void WatermarkValve::OnFinished(size_t index, TimeEvents& out) {
  Channel& channel = channels_[index];
  if (channel.state == State::kFinished) return;
  if (channel.state == State::kActive) --active_;
  channel.state = State::kFinished;
  Align(index, false);
  ++finished_;
  if (finished_ == channels_.size()) {
    if (idle_) {
      idle_ = false;
      out.push_back({TimeEventKind::kActive});
    }
    EmitWatermark(kMaxTicks, out);
  } else if (active_ > 0) {
    EmitMinimum(out);
  } else if (!idle_) {
    EmitGreatestOfIdle(out);
    idle_ = true;
    out.push_back({TimeEventKind::kIdle});
  }
}

}  // namespace weir
