# PgBouncer in transaction mode, before the PostgreSQL of this checkout (which it therefore starts). It refuses root as well.
pgbouncer_bin() { PATH=$PATH:/usr/sbin command -v pgbouncer; }
pgbouncer_install() {
  . "$REPO/test/services/servers/postgres.sh"
  pgbouncer_bin > /dev/null || apt_install pgbouncer pgbouncer || return 1
  start_server postgres
}
# One that was up may still point to a PostgreSQL that was stopped since.
pgbouncer_fits() {
  ours postgres > /dev/null && grep -q "port=$(port_of postgres)$" "$STATE/pgbouncer/data/pgbouncer.ini" 2>/dev/null
}
pgbouncer_start() {
  local data
  postgres_as
  if [ "$(id -u)" = 0 ]; then
    data=$(mktemp -d -t fairlead-pgbouncer.XXXXXX)
    chown postgres "$data"
    rm -rf "$2"
    ln -s "$data" "$2"
  else
    data=$2
  fi
  printf '"postgres" ""\n' > "$data/users.txt"
  cat > "$data/pgbouncer.ini" <<- INI
	[databases]
	* = host=127.0.0.1 port=$(port_of postgres)
	[pgbouncer]
	listen_addr = 127.0.0.1
	listen_port = $1
	unix_socket_dir =
	auth_type = trust
	auth_file = $data/users.txt
	pool_mode = transaction
	default_pool_size = 10
	max_client_conn = 200
	query_wait_timeout = 20
	logfile = $data/pgbouncer.log
	pidfile = $data/pgbouncer.pid
	INI
  chmod 644 "$data/users.txt" "$data/pgbouncer.ini"
  cd "$data" || return 1
  setsid "${AS[@]}" "$(pgbouncer_bin)" "$data/pgbouncer.ini" > "$STATE/pgbouncer/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
# INT would wait for the clients to leave.
pgbouncer_signal() { echo TERM; }
