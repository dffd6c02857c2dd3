# dnsmasq: a DNS server, over UDP and TCP. It knows `fairlead.test` and nothing else, and asks nobody.
dnsmasq_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v dnsmasq; }
# The package without a service of its own: nothing listens on port 53 afterwards.
dnsmasq_install() { dnsmasq_program > /dev/null || apt_install dnsmasq dnsmasq-base; }
dnsmasq_start() {
  cat > "$2/dnsmasq.conf" <<'CONF'
host-record=one.fairlead.test,10.1.0.1,fd00:1::1,60
host-record=api.fairlead.test,10.1.0.1,5
host-record=api.fairlead.test,10.1.0.2,5
host-record=docker.fairlead.test,10.1.0.3,600
host-record=n1.fairlead.test,10.1.0.1,20
host-record=n2.fairlead.test,10.1.0.2,20
srv-host=_http._tcp.api.fairlead.test,n1.fairlead.test,8081,10,60
srv-host=_http._tcp.api.fairlead.test,n2.fairlead.test,8082,10,20
srv-host=_closed._tcp.api.fairlead.test
txt-record=empty.fairlead.test,nobody
CONF
  setsid "$(dnsmasq_program)" --keep-in-foreground --port="$1" --listen-address=127.0.0.1 --bind-interfaces \
    --no-resolv --no-hosts --conf-file="$2/dnsmasq.conf" --local=/fairlead.test/ --pid-file="$2/pid" \
    --user="$(id -un)" --log-facility=- > "$STATE/dnsmasq/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
dnsmasq_signal() { echo TERM; }
