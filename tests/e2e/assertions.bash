# Sourced by the tests of the scripts: `work`, a folder that is removed at the end, and what is expected of commands.
work=$(mktemp -d)
# What a script starts inherits this, so that it can be found again whatever it is.
export TMPDIR=$work

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# expect CODE COMMAND...: leaves what it says in `output`.
expect() {
  local wanted=$1 code=0
  shift
  output=$("$@" 2>&1) || code=$?
  [ "$code" = "$wanted" ] || fail "exit code $code instead of $wanted of: $*"$'\n'"$output"
}

# says REGEX: `output` has a line that matches.
says() { grep -qE -- "$1" <<<"$output" || fail "'$1' is not in:"$'\n'"$output"; }

# Command lines of the processes of clusters that were started under `work` and still live.
processes() {
  local file
  grep -lzxF "TMPDIR=$work" /proc/[0-9]*/environ 2>/dev/null | while read -r file; do
    # One that waits to be collected has no command line.
    tr '\0' ' ' 2>/dev/null <"${file%environ}cmdline" | grep -E '(jobmanager|taskmanager) ' || true
  done || true
}

none_left() {
  local left
  left=$(processes)
  [ -z "$left" ] || fail "left running:"$'\n'"$left"
}
