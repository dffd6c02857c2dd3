# Toxiproxy: a proxy that breaks connections on command. The address is that of its HTTP API.
# 2.5.0 is the newest that the Go of Debian 12 can build.
TOXIPROXY_VERSION=v2.5.0
toxiproxy_install() {
  [ -x "$BIN/toxiproxy-$TOXIPROXY_VERSION" ] && return 0
  command -v go > /dev/null || apt_install toxiproxy golang-go ca-certificates || return 1
  say toxiproxy "building $TOXIPROXY_VERSION"
  local out
  out=$(mktemp -d) || return 1
  if GOBIN=$out GOFLAGS=-modcacherw go install "github.com/Shopify/toxiproxy/v2/cmd/server@$TOXIPROXY_VERSION" \
    > "$STATE/toxiproxy/install.log" 2>&1; then
    mv "$out/server" "$BIN/toxiproxy-$TOXIPROXY_VERSION"
    rm -rf "$out"
  else
    rm -rf "$out"
    fail toxiproxy "could not build it with $(go version 2>/dev/null || echo 'go, which is missing'): see $STATE/toxiproxy/install.log"
  fi
}
toxiproxy_start() {
  LOG_LEVEL=error setsid "$BIN/toxiproxy-$TOXIPROXY_VERSION" -host 127.0.0.1 -port "$1" \
    > "$STATE/toxiproxy/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
toxiproxy_signal() { echo TERM; }
