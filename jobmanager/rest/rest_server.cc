#include "jobmanager/rest/rest_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <httplib.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/rest/checkpoints_json.h"
#include "jobmanager/rest/cluster_metrics.h"
#include "jobmanager/rest/flink_json.h"
#include "jobmanager/rest/watermarks_json.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kThreads = 4;
constexpr time_t kReadTimeoutSeconds = 5;
constexpr time_t kKeepAliveSeconds = 5;
constexpr size_t kMaxBodyBytes = 64 << 10;
constexpr char kJson[] = "application/json; charset=UTF-8";

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

class HttpRestServer final : public RestServer {
 public:
  HttpRestServer(Env& env, RestOptions options, Snapshots snapshots)
      : env_(env), options_(std::move(options)), snapshots_(std::move(snapshots)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_read_timeout(kReadTimeoutSeconds);
    server_.set_write_timeout(kReadTimeoutSeconds);
    server_.set_keep_alive_timeout(kKeepAliveSeconds);
    server_.set_payload_max_length(kMaxBodyBytes);
    // The library's own choice would let two servers share a port without a word.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    AddRoutes();
  }

  ~HttpRestServer() override {
    if (executor_ == nullptr) return;
    // Stopping has no effect until the server has begun to run.
    std::unique_lock<std::mutex> lock(mutex_);
    do {
      server_.stop();
    } while (
        !ended_changed_.wait_for(lock, std::chrono::milliseconds(5), [this] { return ended_; }));
    lock.unlock();
    executor_->Shutdown();
  }

  absl::Status Listen() {
    if (!options_.allow_insecure_non_loopback && !IsLoopback(options_.bind_host)) {
      return absl::FailedPreconditionError(StrCat(
          "rest.bind-address is ", options_.bind_host,
          ", which other machines can reach, and nothing is encrypted: use 127.0.0.1, or give "
          "--insecure-allow-plaintext if the network is trusted"));
    }
    errno = 0;
    int port = options_.port;
    if (port == 0) {
      port = server_.bind_to_any_port(options_.bind_host);
    } else if (!server_.bind_to_port(options_.bind_host, port)) {
      port = -1;
    }
    const int error = errno;
    if (port < 0) {
      const std::string where = StrCat(options_.bind_host, ":", options_.port);
      if (error == EADDRINUSE) {
        return absl::AlreadyExistsError(StrCat("the REST port ", where,
                                               " is in use: set rest.port to another one, or to 0 "
                                               "for a free one"));
      }
      return absl::UnavailableError(StrCat("the REST interface cannot listen at ", where, ": ",
                                           error == 0 ? "no such address" : strerror(error)));
    }
    const bool v6 = options_.bind_host.find(':') != std::string::npos;
    address_ = StrCat(v6 ? "[" : "", options_.bind_host, v6 ? "]" : "", ":", port);
    executor_ = env_.NewExecutor("rest");
    executor_->Post([this] {
      server_.listen_after_bind();
      std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
      ended_changed_.notify_all();
    });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

 private:
  int64_t NowMicros() { return absl::ToUnixMicros(env_.clock().Now()); }

  using Ids = std::vector<std::string>;

  // Answers `path`, with and without /v1 before and a slash behind. `answer` gets what its groups
  // match, in their order.
  void Get(const std::string& path, const char* type,
           std::function<RestAnswer(const ClusterSnapshot&, const Ids&)> answer) {
    server_.Get(StrCat("(?:/v1)?", path, "/?"),
                [this, type, answer = std::move(answer)](const httplib::Request& request,
                                                         httplib::Response& response) {
                  response.set_header("Access-Control-Allow-Origin", "*");
                  auto snapshot = snapshots_();
                  if (snapshot == nullptr) {
                    response.status = 503;
                    response.set_content(ErrorJson("the job manager is starting"), kJson);
                    return;
                  }
                  Ids ids;
                  for (size_t i = 1; i < request.matches.size(); ++i) {
                    ids.push_back(request.matches[i].str());
                  }
                  const RestAnswer result = answer(*snapshot, ids);
                  response.status = result.status;
                  response.set_content(result.body, type);
                });
  }

  void AddRoutes() {
    Get("/overview", kJson, [](const ClusterSnapshot& cluster, const Ids&) {
      return RestAnswer{200, OverviewJson(cluster)};
    });
    Get("/jobs/overview", kJson, [this](const ClusterSnapshot& cluster, const Ids&) {
      return RestAnswer{200, JobsOverviewJson(cluster, NowMicros())};
    });
    Get("/metrics", kPrometheusContentType.data(),
        [this](const ClusterSnapshot& cluster, const Ids&) {
          return RestAnswer{
              200, WritePrometheusText(ClusterMetrics(cluster, NowMicros(), options_.host_label))};
        });
    Get("/jobs/([^/]+)/checkpoints", kJson, [](const ClusterSnapshot& cluster, const Ids& ids) {
      return CheckpointsAnswer(cluster, ids[0]);
    });
    Get("/jobs/([^/]+)/checkpoints/config", kJson,
        [](const ClusterSnapshot& cluster, const Ids& ids) {
          return CheckpointSettingsAnswer(cluster, ids[0]);
        });
    Get("/jobs/([^/]+)/checkpoints/details/([^/]+)", kJson,
        [](const ClusterSnapshot& cluster, const Ids& ids) {
          return CheckpointAnswer(cluster, ids[0], ids[1]);
        });
    Get("/jobs/([^/]+)/checkpoints/details/([^/]+)/subtasks/([^/]+)", kJson,
        [](const ClusterSnapshot& cluster, const Ids& ids) {
          return CheckpointVertexAnswer(cluster, ids[0], ids[1], ids[2]);
        });
    Get("/jobs/([^/]+)/vertices/([^/]+)/watermarks", kJson,
        [](const ClusterSnapshot& cluster, const Ids& ids) {
          return WatermarksAnswer(cluster, ids[0], ids[1]);
        });
    server_.Get("/", [](const httplib::Request&, httplib::Response& response) {
      response.set_content(
          "A weir job manager.\n\n"
          "/overview        task managers, slots and jobs, as JSON\n"
          "/jobs/overview   every job with its state, as JSON\n"
          "/jobs/ID/checkpoints, /jobs/ID/checkpoints/details/N: statistics, as JSON\n"
          "/jobs/ID/vertices/ID/watermarks: of each subtask, as JSON\n"
          "/metrics         for Prometheus\n\n"
          "`jobctl list` and `jobctl status` show more.\n",
          "text/plain; charset=utf-8");
    });
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      response.set_content(
          ErrorJson(response.status == 404 ? StrCat("Not found: ", request.path.substr(0, 1024))
                                           : StrCat("HTTP status ", response.status)),
          kJson);
    });
  }

  Env& env_;
  const RestOptions options_;
  const Snapshots snapshots_;
  httplib::Server server_;
  std::string address_;
  std::unique_ptr<Executor> executor_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RestServer>> RestServer::Start(Env& env, RestOptions options,
                                                              Snapshots snapshots) {
  auto server = std::make_unique<HttpRestServer>(env, std::move(options), std::move(snapshots));
  WEIR_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace weir::jobmanager
