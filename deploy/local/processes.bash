# Sourced by start, stop and demo: daemons of this host, each known by a file that names its process.
#
# A pid file holds "PID STARTTIME": a process id alone may have been given to another process since. Every daemon leads a
# session of its own, so what it has started itself (workers) is found by the session, even after the daemon has gone.

# Sets `fields` to those of /proc/PID/stat from the third on: the second, a name, may contain anything. 1 if there is no such
# process; a zombie counts as none. Needs no other process, which an interrupt could end half-way.
stat_fields() {
  local line
  fields=()
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<<"${line##*) }"
  [ "${fields[0]}" != Z ]
}

# The process of a pid file, if it lives.
live_pid() {
  local pid started fields
  { read -r pid started <"$1"; } 2>/dev/null || return 1
  stat_fields "$pid" && [ "${fields[19]}" = "${started:-none}" ] && echo "$pid"
}

# To be trapped: calls when_interrupted, but not while a daemon is being started whose process is not written down yet.
starting='' pending=''
interrupt() { if [ -n "$starting" ]; then pending=1; else when_interrupted; fi; }

# start_daemon FOLDER NAME COMMAND...: standard error goes to FOLDER/logs/NAME.log, standard output to FOLDER/logs/NAME.out.
start_daemon() {
  local folder=$1 name=$2 pid fields
  shift 2
  mkdir -p "$folder/logs"
  starting=1
  # 9 is the lock of the caller, which must not be held by what outlives it.
  setsid "$@" </dev/null >"$folder/logs/$name.out" 2>>"$folder/logs/$name.log" 9>&- &
  pid=$!
  # One that has ended already has no fields, and will not be found alive.
  stat_fields "$pid" || true
  echo "$pid ${fields[19]:-}" >"$folder/$name.pid"
  disown "$pid" 2>/dev/null || true
  starting=
  [ -z "$pending" ] || when_interrupted
}

# await_listening FOLDER NAME DEADLINE: until the daemon has said where it listens; 1 if it ended or said nothing in time.
await_listening() {
  until grep -qs ' listening on ' "$1/logs/$2.out"; do
    live_pid "$1/$2.pid" >/dev/null && [ $SECONDS -lt "$3" ] || return 1
    sleep 0.05
  done
}

# Where a daemon listens, by its own words.
address_of() { sed -n 's/^.* listening on \([^,]*\),.*$/\1/p' "$1/logs/$2.out"; }
rest_of() { sed -n 's/^.*, REST on \([^,]*\),.*$/\1/p' "$1/logs/$2.out"; }

# await_task_managers JOBCTL ADDRESS COUNT DEADLINE FOLDER: until so many are registered; 1 if a daemon of FOLDER ended or
# the time is up.
await_task_managers() {
  local registered file
  while true; do
    registered=$("$1" list -m "$2" 2>/dev/null | sed -n 's/^\([0-9]*\) task managers\{0,1\}, .*$/\1/p')
    [ "${registered:-0}" -lt "$3" ] || return 0
    for file in "$5"/*.pid; do live_pid "$file" >/dev/null || return 1; done
    [ $SECONDS -lt "$4" ] || return 1
    sleep 0.1
  done
}

# Processes of the sessions that the given processes lead.
members_of_sessions() {
  local file pid fields
  for file in /proc/[0-9]*/stat; do
    pid=${file#/proc/}; pid=${pid%/stat}
    stat_fields "$pid" || continue
    case " $* " in *" ${fields[3]} "*) echo "$pid" ;; esac
  done
}

# stop_daemons FOLDER GRACE: asks all daemons of FOLDER to end, ends after GRACE seconds what is left, and removes the pid
# files. Sets `stopped` and `killed` to how many daemons ended so.
stop_daemons() {
  local folder=$1 deadline=$((SECONDS + $2)) file pid pids=() left
  stopped=0 killed=0
  for file in "$folder"/*.pid; do
    if pid=$(live_pid "$file"); then
      pids+=("$pid")
      kill -TERM "$pid" 2>/dev/null || true
    fi
  done
  if [ ${#pids[@]} -gt 0 ]; then
    while true; do
      left=0
      for file in "$folder"/*.pid; do live_pid "$file" >/dev/null && left=$((left + 1)); done
      [ "$left" -gt 0 ] && [ $SECONDS -lt "$deadline" ] || break
      sleep 0.05
    done
    for file in "$folder"/*.pid; do
      if pid=$(live_pid "$file"); then
        kill -KILL "$pid" 2>/dev/null || true
        killed=$((killed + 1))
      fi
    done
    stopped=$((${#pids[@]} - killed))
    left=$(members_of_sessions "${pids[@]}")
    # shellcheck disable=SC2086  # a list of numbers
    [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
  fi
  rm -f "$folder"/*.pid
}
