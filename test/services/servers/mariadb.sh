# MariaDB: the database of the MySQL store. It refuses to run as root, so root drops to the user mysql.
mariadb_install() { command -v mariadbd > /dev/null && command -v mariadb-install-db > /dev/null || apt_install mariadb mariadb-server; }
mariadb_start() {
  local data user as=()
  # A folder under root's home is closed to other users: the data of a root-started server goes to the temp folder.
  if [ "$(id -u)" = 0 ]; then
    user=mysql
    as=(setpriv --reuid=mysql --regid=mysql --init-groups)
    data=$(mktemp -d -t fairlead-mariadb.XXXXXX)
    chmod 755 "$data"
    chown mysql "$data"
    rm -rf "$2"
    ln -s "$data" "$2"
  else
    user=$(id -un)
    data=$2
  fi
  cd "$data" || return 1
  mariadb-install-db --no-defaults --user="$user" --datadir="$data/data" --auth-root-authentication-method=normal \
    --skip-test-db > "$STATE/mariadb/server.log" 2>&1 || return 1
  setsid "${as[@]}" mariadbd --no-defaults --datadir="$data/data" --port="$1" --bind-address=127.0.0.1 \
    --socket="$data/s.sock" --pid-file="$data/m.pid" --innodb-buffer-pool-size=64M --innodb-log-file-size=32M \
    --innodb-flush-log-at-trx-commit=0 --skip-name-resolve --performance-schema=OFF --max-connections=300 \
    >> "$STATE/mariadb/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
mariadb_signal() { echo TERM; }
