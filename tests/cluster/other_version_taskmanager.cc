// A task manager that says it is of another version.
#include "taskmanager/main/mains.h"

int main(int argc, char** argv) { return weir::AgentMain(argc, argv, "0.0.1"); }
