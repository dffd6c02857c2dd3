# PostgreSQL: the database of the wrapped-query recipe. It refuses to run as root, so root drops to the user postgres.
postgres_bin() {
  if command -v initdb > /dev/null; then dirname "$(command -v initdb)"; return 0; fi
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1)
  [ -n "$found" ] && dirname "$found"
}
postgres_install() { postgres_bin > /dev/null || apt_install postgres postgresql; }
# `setsid` runs a command here, not a function: the way to drop root is therefore an array.
postgres_as() {
  if [ "$(id -u)" = 0 ]; then AS=(setpriv --reuid=postgres --regid=postgres --init-groups); else AS=(); fi
}
postgres_start() {
  local bin data
  bin=$(postgres_bin)
  postgres_as
  # A folder under root's home is closed to other users: the data of a root-started server goes to the temp folder.
  if [ "$(id -u)" = 0 ]; then
    data=$(mktemp -d -t fairlead-postgres.XXXXXX)
    chown postgres "$data"
    rm -rf "$2"
    ln -s "$data" "$2"
  else
    data=$2
  fi
  cd "$data" || return 1
  "${AS[@]}" "$bin/initdb" -D "$data/data" -A trust -U postgres --no-sync -E UTF8 --locale=C \
    > "$STATE/postgres/server.log" 2>&1 || return 1
  setsid "${AS[@]}" "$bin/postgres" -D "$data/data" -p "$1" -h 127.0.0.1 -k "$data" -c fsync=off \
    -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=32MB \
    >> "$STATE/postgres/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
postgres_signal() { echo INT; }
