#pragma once

#include <string_view>

namespace weir {

// The three things that the binary can be; each is a whole process's life and returns its exit
// code.

// An agent: "taskmanager [--config FILE] [-D key=value]...". Prints one line with its address when
// it listens. Exit codes: 0 stopped by a signal, 1 refused by the job manager or unable to start, 2
// wrong usage. `version` is what it tells the job manager.
int AgentMain(int argc, char** argv, std::string_view version);

// A worker of an agent: "taskmanager --worker", with its parameters at descriptor kParametersFd.
// Exit codes: WorkerExitCode.
int WorkerMain(const char* program);

// A job in this process alone: "taskmanager --run job.so [-p N] [-D key=value]... [-- --name=value
// ...]". Exit codes: 0 finished, 1 the job failed, 2 wrong usage (also of the job's arguments), 130
// cancelled by Ctrl-C.
int EmbeddedMain(int argc, char** argv);

}  // namespace weir
