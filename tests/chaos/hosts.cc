#include "tests/chaos/hosts.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weir::chaos {
namespace {

void Do(const std::string& command) {
  if (system(command.c_str()) == 0) return;
  fprintf(stderr, "'%s' failed\n", command.c_str());
  abort();
}

}  // namespace

Hosts::Hosts() {
  Do("ip link set lo up && ip link add weir0 type bridge && ip address add " +
     std::string(kOwnAddress) + "/24 dev weir0 && ip link set weir0 up");
}

Hosts::~Hosts() {
  for (const auto& [name, host] : hosts_) {
    kill(host.keeper, SIGKILL);
    waitpid(host.keeper, nullptr, 0);
  }
  Do("ip link delete weir0");
}

std::string Hosts::Add(const std::string& name) {
  int ready[2];
  if (pipe(ready) != 0) abort();
  const pid_t keeper = fork();
  if (keeper == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET) != 0) _exit(1);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  close(ready[1]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) {
    fprintf(stderr, "no namespace for host %s\n", name.c_str());
    abort();
  }
  close(ready[0]);
  const int number = static_cast<int>(hosts_.size()) + 1;
  const std::string outer = "weir-h" + std::to_string(number);
  const std::string address = "10.77.0." + std::to_string(10 + number);
  const std::string enter = "nsenter --net=/proc/" + std::to_string(keeper) + "/ns/net ";
  hosts_[name] = {number, keeper};
  Do("ip link add " + outer + " type veth peer name eth0 netns " + std::to_string(keeper) +
     " && ip link set " + outer + " master weir0 up && " + enter + "ip link set lo up && " + enter +
     "ip address add " + address + "/24 dev eth0 && " + enter + "ip link set eth0 up");
  return address;
}

std::vector<std::string> Hosts::Launcher(const std::string& name) const {
  return {"/usr/bin/nsenter", "--net=/proc/" + std::to_string(hosts_.at(name).keeper) + "/ns/net"};
}

void Hosts::Cut(const std::string& name) {
  Do("ip link set weir-h" + std::to_string(hosts_.at(name).number) + " nomaster");
}

void Hosts::Heal(const std::string& name) {
  Do("ip link set weir-h" + std::to_string(hosts_.at(name).number) + " master weir0");
}

}  // namespace weir::chaos
