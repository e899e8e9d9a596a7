#include "common/obs/metrics.h"

#include <array>
#include <charconv>
#include <cmath>
#include <set>

namespace weir {
namespace {

// [a-zA-Z_:][a-zA-Z0-9_:]* for metrics; labels have no ':'.
std::string ValidName(std::string_view name, bool colons) {
  std::string valid;
  for (const char c : name) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (digit && valid.empty()) valid += '_';
    valid += digit || letter || (colons && c == ':') ? c : '_';
  }
  return valid.empty() ? "_" : valid;
}

void AppendEscaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void AppendValue(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else if (value == std::floor(value) && std::abs(value) < 0x1p53) {
    out += std::to_string(static_cast<int64_t>(value));
  } else {
    std::array<char, 32> text;
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
  }
}

std::string FormatLabels(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += text.empty() ? '{' : ',';
    text += ValidName(name, /*colons=*/false);
    text += "=\"";
    AppendEscaped(text, value, /*quotes=*/true);
    text += '"';
  }
  if (!text.empty()) text += '}';
  return text;
}

struct Merged {
  std::string help;
  std::string_view type;
  std::vector<const MetricSample*> samples;
};

std::string_view TypeName(MetricKind kind) {
  return kind == MetricKind::kCounter ? "counter" : "gauge";
}

}  // namespace

std::string WritePrometheusText(const std::vector<MetricFamily>& families) {
  std::map<std::string, Merged> by_name;
  for (const MetricFamily& family : families) {
    const auto [entry, is_new] = by_name.try_emplace(ValidName(family.name, /*colons=*/true));
    Merged& merged = entry->second;
    if (is_new) {
      merged.help = family.help;
      merged.type = TypeName(family.kind);
    } else if (merged.type != TypeName(family.kind)) {
      merged.type = "untyped";
    }
    for (const MetricSample& sample : family.samples) merged.samples.push_back(&sample);
  }
  std::string out;
  for (const auto& [name, family] : by_name) {
    if (family.samples.empty()) continue;
    if (!family.help.empty()) {
      out += "# HELP " + name + " ";
      AppendEscaped(out, family.help, /*quotes=*/false);
      out += '\n';
    }
    out += "# TYPE " + name + " ";
    out += family.type;
    out += '\n';
    std::set<std::string> seen;
    for (const MetricSample* sample : family.samples) {
      const auto [labels, is_new] = seen.insert(FormatLabels(sample->labels));
      if (!is_new) continue;
      out += name;
      out += *labels;
      out += ' ';
      AppendValue(out, sample->value);
      out += '\n';
    }
  }
  return out;
}

MetricRegistry::Registration::~Registration() {
  MutexLock lock(registry_.mutex_);
  registry_.collectors_.erase(id_);
}

ProcessMetric& MetricRegistry::Find(const std::string& name, MetricKind kind,
                                    const std::string& help, const MetricLabels& labels) {
  MutexLock lock(mutex_);
  OwnFamily& family =
      own_.try_emplace(name, OwnFamily{.kind = kind, .help = help, .metrics = {}}).first->second;
  std::unique_ptr<ProcessMetric>& metric = family.metrics[labels];
  if (metric == nullptr) metric = std::make_unique<ProcessMetric>();
  return *metric;
}

ProcessMetric& MetricRegistry::Counter(const std::string& name, const std::string& help,
                                       const MetricLabels& labels) {
  return Find(name, MetricKind::kCounter, help, labels);
}

ProcessMetric& MetricRegistry::Gauge(const std::string& name, const std::string& help,
                                     const MetricLabels& labels) {
  return Find(name, MetricKind::kGauge, help, labels);
}

std::unique_ptr<MetricRegistry::Registration> MetricRegistry::AddCollector(Collector collector) {
  MutexLock lock(mutex_);
  const uint64_t id = ++last_id_;
  collectors_.emplace(id, std::move(collector));
  return std::make_unique<Registration>(*this, id);
}

std::vector<MetricFamily> MetricRegistry::Collect() const {
  // Held while collectors run, so that none is asked after its owner took it out.
  MutexLock lock(mutex_);
  std::vector<MetricFamily> families;
  for (const auto& [name, own] : own_) {
    MetricFamily family{.name = name, .kind = own.kind, .help = own.help, .samples = {}};
    for (const auto& [labels, metric] : own.metrics) {
      family.samples.push_back({labels, static_cast<double>(metric->value())});
    }
    families.push_back(std::move(family));
  }
  for (const auto& [id, collector] : collectors_) collector(families);
  return families;
}

}  // namespace weir
