// Nothing: a program to compile the precompiled header of the tests with.
int main() { return 0; }
