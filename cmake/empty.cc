// Nothing: a library needs a source.
