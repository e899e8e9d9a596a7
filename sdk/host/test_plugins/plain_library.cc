// A shared library that is no job.
extern "C" int plain_library() { return 1; }
