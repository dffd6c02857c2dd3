# What every server script shares: folders, ports, processes, installing. Sourced by `up` and `down`, never run.
#
# All state lives outside the repository, one folder per checkout, so that two checkouts never stop each other's servers:
#   $FAIRLEAD_HOME/bin/                      binaries built here, shared by all checkouts
#   $FAIRLEAD_HOME/services/<id>/<server>/   pid, address.json, server.log, data
# test/services/servers.ts reads the same address.json; keep the two in step.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
FAIRLEAD_HOME=${FAIRLEAD_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead}
STATE=$FAIRLEAD_HOME/services/$(printf %s "$REPO" | sha256sum | cut -c1-12)
BIN=$FAIRLEAD_HOME/bin

say() { printf '%-12s %s\n' "$1" "$2"; }
fail() { printf '%-12s %s\n' "$1" "$2" >&2; return 1; }

# --- processes: judged by their state, because a zombie still answers `kill -0` ------------------------

proc_state() {
  if [ -r "/proc/$1/stat" ]; then sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1
  elif [ ! -d /proc/self ]; then ps -o stat= -p "$1" 2>/dev/null | cut -c1; fi
}
proc_started() {
  if [ -r "/proc/$1/stat" ]; then sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
  elif [ ! -d /proc/self ]; then ps -o lstart= -p "$1" 2>/dev/null; fi
}
alive() {
  local s
  s=$(proc_state "$1")
  [ -n "$s" ] && [ "$s" != Z ] && [ "$s" != X ]
}
# A pid is written with its start time: the same number may belong to a stranger by now.
remember() { printf '%s %s\n' "$2" "$(proc_started "$2")" > "$STATE/$1/${3:-pid}"; } # server, pid, file
ours() { # server, file with its pid (default: that of the server itself)
  local pid started file=$STATE/$1/${2:-pid}
  [ -r "$file" ] || return 1
  read -r pid started < "$file" || return 1
  alive "$pid" && [ "$(proc_started "$pid")" = "$started" ] && echo "$pid"
}
stop_pid() { # pid, signal
  local i=0
  kill "-$2" "$1" 2>/dev/null || true
  while alive "$1"; do
    i=$((i + 1))
    if [ "$i" -gt 300 ]; then kill -KILL "$1" 2>/dev/null || true; fi
    if [ "$i" -gt 400 ]; then return 1; fi
    sleep 0.05
  done
}

# --- ports ----------------------------------------------------------------------------------------------

answers() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Below the range that the system hands out by itself, and checked: a left-over server must not be taken for ours.
free_port() {
  local port i
  for i in $(seq 50); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! answers "$port"; then echo "$port"; return 0; fi
  done
  return 1
}
# Ready when the port answers while our process lives: if it died, whoever answers is a stranger.
wait_ready() { # pid, port
  local i=0
  until answers "$2"; do
    i=$((i + 1))
    if [ "$i" -gt 600 ] || ! alive "$1"; then return 1; fi
    sleep 0.05
  done
  sleep 0.1
  alive "$1"
}
publish() { # server, port
  printf '{ "host": "127.0.0.1", "port": %d }\n' "$2" > "$STATE/$1/address.json.new"
  mv "$STATE/$1/address.json.new" "$STATE/$1/address.json"
}

# --- installing -----------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo > /dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 1; fi
}
apt_install() { # server, package...
  local server=$1
  shift
  command -v apt-get > /dev/null ||
    { fail "$server" "not installed, and this is not a Debian system: install it by hand (Debian calls it: $*)"; return 1; }
  say "$server" "installing $*"
  # Another one may be at it: a server that is built in the background.
  local quiet=(env DEBIAN_FRONTEND=noninteractive) patient=(-o DPkg::Lock::Timeout=300)
  as_root "${quiet[@]}" apt-get "${patient[@]}" install -y -qq --no-install-recommends "$@" > "$STATE/$server/install.log" 2>&1 && return 0
  as_root "${quiet[@]}" apt-get update -qq >> "$STATE/$server/install.log" 2>&1 &&
    as_root "${quiet[@]}" apt-get "${patient[@]}" install -y -qq --no-install-recommends "$@" >> "$STATE/$server/install.log" 2>&1 && return 0
  fail "$server" "could not install $* (root or passwordless sudo is needed): see $STATE/$server/install.log"
}

# --- servers that take minutes to build ------------------------------------------------------------------
# Their scripts define <name>_built and <name>_build as well; the program is kept in $BIN, so it happens once on a machine.
# `up --background` leaves building and starting them to a process of its own, `wait` waits for it, `down` ends it.
#   $STATE/<server>/builder, up.log          pid of that process, and what it says

is_slow() { declare -F "${1}_build" > /dev/null && ! "${1}_built"; }
# One build of a program at a time on this machine: another checkout may be at it.
build_slow() { # server
  mkdir -p "$STATE/$1" "$BIN"
  (
    if command -v flock > /dev/null; then
      exec 8> "$BIN/$1.lock"
      flock 8
    fi
    "${1}_built" || "${1}_build"
  )
}
start_later() { # server
  mkdir -p "$STATE/$1"
  if ! ours "$1" builder > /dev/null; then
    setsid "$REPO/test/services/up" "$1" > "$STATE/$1/up.log" 2>&1 < /dev/null &
    remember "$1" "$!" builder
  fi
  say "$1" "is built and started in the background: see $STATE/$1/up.log"
}
wait_later() { # server, seconds
  local until=$((SECONDS + $2))
  [ -e "$STATE/$1/builder" ] || return 0
  if ours "$1" builder > /dev/null; then say "$1" 'is still being built: waiting'; fi
  while ours "$1" builder > /dev/null; do
    if [ "$SECONDS" -ge "$until" ]; then fail "$1" "is not built after $2 s: see $STATE/$1/up.log"; return 1; fi
    sleep 1
  done
  if [ -e "$STATE/$1/address.json" ] || grep -q 'is built$' "$STATE/$1/up.log"; then return 0; fi
  tail -n 5 "$STATE/$1/up.log" >&2
  return 1
}
# Its whole group: a compiler is at work below it.
stop_later() { # server
  local pid
  if pid=$(ours "$1" builder); then
    kill -TERM -- "-$pid" 2>/dev/null || true
    stop_pid "$pid" TERM || true
    say "$1" 'is no longer being built'
  fi
  rm -f "$STATE/$1/builder"
}
# Programs that `go install` refuses because of their replace lines are built in a module of our own. To be run by build_slow.
build_go() { # server, binary, package, flag of go build...; go.mod on the standard input
  local server=$1 binary=$2 package=$3 log=$STATE/$1/install.log
  shift 3
  command -v go > /dev/null || apt_install "$server" golang-go ca-certificates || return 1
  say "$server" "building $(basename "$binary"), which takes minutes: see $log"
  BUILDING=$(mktemp -d) || return 1
  trap 'rm -rf "$BUILDING"' EXIT
  trap 'exit 143' TERM INT
  cat > "$BUILDING/go.mod"
  printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$package" > "$BUILDING/tools.go"
  # One step at a time and behind everybody else: tests run meanwhile.
  if (
    cd "$BUILDING" && export GOFLAGS=-modcacherw GOTMPDIR=$BUILDING &&
      nice -n 10 go mod tidy -e && nice -n 10 go build -p 1 "$@" -o "$BUILDING/program" "$package"
  ) > "$log" 2>&1; then
    mv "$BUILDING/program" "$binary"
  else
    fail "$server" "could not build it with $(go version 2>/dev/null || echo 'go, which is missing'): see $log"
  fi
}

# --- one server -------------------------------------------------------------------------------------------
# servers/<name>.sh defines: <name>_install; <name>_start PORT DIR (prints the pid); <name>_signal (how it is asked to stop);
# and, if one that is up may be out of date, <name>_fits. One without <name>_start is a client, which is only built.

server_names() {
  local file
  for file in "$REPO"/test/services/servers/*.sh; do basename "$file" .sh; done
}
# Brought up unless others are named. A compiler, and ten minutes of tests, for one optional peer are for those who ask for them.
default_names() { server_names | grep -vx confluent; }
check_names() {
  local name
  for name in "$@"; do
    [ -r "$REPO/test/services/servers/$name.sh" ] ||
      { fail "$name" "no such server; there are: $(server_names | tr '\n' ' ')"; return 1; }
  done
}
port_of() { sed 's/.*"port": \([0-9]*\).*/\1/' "$STATE/$1/address.json"; }

# The folder may be a link to one elsewhere (PostgreSQL started by root).
drop_data() {
  if [ -L "$STATE/$1/data" ]; then rm -rf "$(readlink -f "$STATE/$1/data")"; fi
  rm -rf "$STATE/$1/data"
}

start_server() {
  local name=$1 pid port try
  mkdir -p "$STATE/$name" "$BIN"
  # A client: there is nothing to start.
  if ! declare -F "${name}_start" > /dev/null; then
    "${name}_install" && mkdir -p "$STATE/$name" && touch "$STATE/$name/wanted" && say "$name" 'is built'
    return
  fi
  if ours "$name" > /dev/null && [ -r "$STATE/$name/address.json" ] && answers "$(port_of "$name")" &&
    { ! declare -F "${name}_fits" > /dev/null || "${name}_fits"; }; then
    say "$name" "up on 127.0.0.1:$(port_of "$name") (was up)"
    return 0
  fi
  stop_server "$name" > /dev/null || true
  "${name}_install" || return 1
  for try in 1 2 3; do
    drop_data "$name"
    mkdir -p "$STATE/$name/data"
    port=$(free_port) || { fail "$name" 'found no free port'; return 1; }
    pid=$("${name}_start" "$port" "$STATE/$name/data") || pid=
    if [ -n "$pid" ]; then
      remember "$name" "$pid"
      if wait_ready "$pid" "$port"; then
        publish "$name" "$port"
        say "$name" "up on 127.0.0.1:$port"
        return 0
      fi
      stop_pid "$pid" KILL || true
    fi
  done
  rm -f "$STATE/$name/pid"
  fail "$name" "did not start after $try tries: see $STATE/$name/server.log"
}
stop_server() {
  local name=$1 pid
  if ! declare -F "${name}_start" > /dev/null; then rm -f "$STATE/$name/wanted"; return 0; fi
  rm -f "$STATE/$name/address.json"
  if pid=$(ours "$name"); then
    stop_pid "$pid" "$("${name}_signal")" || { fail "$name" "process $pid does not end"; return 1; }
    say "$name" 'stopped'
  else
    say "$name" 'was not up'
  fi
  rm -f "$STATE/$name/pid"
  drop_data "$name"
}

# One `up` or `down` at a time per checkout.
take_turn() {
  mkdir -p "$STATE"
  if command -v flock > /dev/null; then
    exec 9> "$STATE/lock"
    flock 9
  fi
}
