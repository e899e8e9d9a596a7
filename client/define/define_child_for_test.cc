#include "client/define/define_child.h"

int main(int, char** argv) { return weir::RunDefineChild(argv[0]); }
