#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace weir::chaos {

// Hosts on one machine: network namespaces, joined by a bridge in the namespace of this process. It
// needs one of its own, with the right to change it: the test is run by `in_namespace net`. The
// address of this process is 10.77.0.1. Uses the programs `ip` and `nsenter`; one that fails is a
// failed check. Everything goes with the process.
class Hosts {
 public:
  Hosts();
  ~Hosts();
  Hosts(const Hosts&) = delete;
  Hosts& operator=(const Hosts&) = delete;

  static constexpr char kOwnAddress[] = "10.77.0.1";

  // Makes a host and returns its address. At most 200.
  std::string Add(const std::string& name);
  // What a command line must begin with to run there.
  std::vector<std::string> Launcher(const std::string& name) const;
  // From now on nothing comes from it and nothing gets there, and nobody is told: a cable that was
  // pulled out somewhere between.
  void Cut(const std::string& name);
  void Heal(const std::string& name);

 private:
  struct Host {
    int number;
    // Of a process that keeps the namespace.
    pid_t keeper;
  };
  std::map<std::string, Host> hosts_;
};

}  // namespace weir::chaos
