# Redis: the shared rate limit. Nothing is kept on disk.
redis_install() { command -v redis-server > /dev/null || apt_install redis redis-server; }
redis_start() {
  setsid redis-server --port "$1" --bind 127.0.0.1 --dir "$2" --save '' --appendonly no --daemonize no \
    > "$STATE/redis/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
redis_signal() { echo TERM; }
