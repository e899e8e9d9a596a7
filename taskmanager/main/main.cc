// The task manager's binary; see mains.h for what it can be.
#include <string_view>

#include "common/base/malloc_tuning.h"
#include "common/base/version.h"
#include "taskmanager/main/mains.h"

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  // The agent moves no data.
  if (mode == "--worker" || mode == "--run") weir::KeepFreedMemory();
  if (mode == "--worker") return weir::WorkerMain(argv[0]);
  if (mode == "--run") return weir::EmbeddedMain(argc, argv);
  return weir::AgentMain(argc, argv, weir::kVersion);
}
