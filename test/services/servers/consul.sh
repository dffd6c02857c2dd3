# Consul: one agent in -dev mode, server and client in one, nothing on disk. The address is that of its HTTP API.
# 1.19.2 is the newest whose modules can all be had; its replace lines point into its own repository, so they are left out.
CONSUL_VERSION=v1.19.2
consul_binary() { echo "$BIN/consul-$CONSUL_VERSION"; }
consul_built() { [ -x "$(consul_binary)" ]; }
consul_build() {
  build_go consul "$(consul_binary)" github.com/hashicorp/consul -ldflags='-s -w' << END
module fairlead.test/consul
go 1.22.5
require github.com/hashicorp/consul $CONSUL_VERSION
END
}
consul_install() { consul_built || build_slow consul; }
consul_start() {
  local server lan
  server=$(free_port) && lan=$(free_port) || return 1
  cat > "$2/agent.json" << END
{
  "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true,
  "ports": { "http": $1, "server": $server, "serf_lan": $lan, "serf_wan": -1, "grpc": -1, "grpc_tls": -1, "dns": -1 }
}
END
  setsid "$(consul_binary)" agent -dev -log-level=warn -config-file "$2/agent.json" \
    > "$STATE/consul/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
consul_signal() { echo INT; }
