# RabbitMQ from Debian, with the Erlang that it brings; its own start script, for the one on PATH drops to another user.
# The user is `guest`, password `guest`. Debian's Python client comes with it: foreign programs read and write what we do.
rabbitmq_home() {
  local program
  program=$(dpkg -L rabbitmq-server 2> /dev/null | grep 'lib/rabbitmq/bin/rabbitmq-server$') ||
    program=$(ls /usr/lib/rabbitmq/bin/rabbitmq-server 2> /dev/null) || return 1
  dirname "$program"
}
# The Python of Debian, not another one that may be first on PATH: its packages are Debian's.
rabbitmq_foreign() { /usr/bin/python3 -c 'import pika' 2> /dev/null; }
rabbitmq_install() {
  if rabbitmq_home > /dev/null && command -v epmd > /dev/null && rabbitmq_foreign; then return 0; fi
  apt_install rabbitmq rabbitmq-server python3 python3-pika
}
rabbitmq_start() {
  local dist epmd
  dist=$(free_port) && epmd=$(free_port) || return 1
  printf '[].' > "$2/enabled_plugins"
  cat > "$2/rabbitmq.conf" <<- 'END'
	loopback_users.guest = true
	log.file.level = warning
	vm_memory_high_watermark.relative = 0.2
	disk_free_limit.absolute = 50MB
	raft.wal_max_size_bytes = 33554432
	END
  # The name registry of Erlang beside it: one that the server starts by itself would outlive it. Two processes behind one pid, and
  # neither outlives it; RABBITMQ_ALLOW_INPUT makes the start script become the server instead of waiting for it.
  HOME=$2 LC_ALL=C.UTF-8 ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_ALLOW_INPUT=1 \
    RABBITMQ_NODENAME=fairlead$1@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$1 RABBITMQ_DIST_PORT=$dist \
    RABBITMQ_MNESIA_BASE=$2/mnesia RABBITMQ_LOG_BASE=$2/log RABBITMQ_PID_FILE=$2/pid RABBITMQ_CONFIG_FILE=$2/rabbitmq.conf \
    RABBITMQ_ENABLED_PLUGINS_FILE=$2/enabled_plugins RABBITMQ_CONF_ENV_FILE=$2/none.conf \
    RABBITMQ_GENERATED_CONFIG_DIR=$2/config RABBITMQ_ADVANCED_CONFIG_FILE=$2/none.config \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none' \
    PROGRAM=$(rabbitmq_home)/rabbitmq-server setsid bash -c '
    setpriv --pdeathsig KILL epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
    epmd=$!
    setpriv --pdeathsig KILL "$PROGRAM" &
    server=$!
    trap "kill -KILL $server $epmd" TERM
    wait -n
    kill -KILL "$server" "$epmd" 2> /dev/null
    wait
  ' > "$STATE/rabbitmq/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
rabbitmq_signal() { echo TERM; }
