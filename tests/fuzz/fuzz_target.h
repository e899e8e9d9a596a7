#pragma once

#include <string_view>

// What a fuzz target defines: runs the code under test on any bytes, ends the process by WEIR_CHECK
// where a promise is broken, and returns whether the code accepted the bytes.
//
// Built with WEIR_FUZZ, libFuzzer chooses the bytes; otherwise replay_main.cc does, from the
// committed seeds and a bounded number of random changes to them.
bool RunOneInput(std::string_view input);
