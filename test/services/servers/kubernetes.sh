# Kubernetes: the API server over etcd, without controllers and nodes: tests write the EndpointSlices themselves.
# etcd comes from Debian; the API server is built from its Go modules (1.35.4: not all parts of older ones can be had).
# The address is that of the API: HTTPS, with a certificate of its own in data/certs; the tokens are in data/tokens.csv.
KUBERNETES_VERSION=v1.35.4
kubernetes_binary() { echo "$BIN/kube-apiserver-$KUBERNETES_VERSION"; }
kubernetes_built() { [ -x "$(kubernetes_binary)" ]; }
kubernetes_build() {
  command -v go > /dev/null || apt_install kubernetes golang-go ca-certificates || return 1
  local module=k8s.io/kubernetes gomod
  gomod=$(cd / && go mod download -json "$module@$KUBERNETES_VERSION" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  [ -r "$gomod" ] || { fail kubernetes "could not fetch $module@$KUBERNETES_VERSION"; return 1; }
  # It names its parts by folders beside it: here by their versions, which are its own with v0 for v1.
  CGO_ENABLED=0 build_go kubernetes "$(kubernetes_binary)" "$module/cmd/kube-apiserver" -tags=providerless \
    -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION" << END
module fairlead.test/kubernetes
$(grep '^go ' "$gomod")
require $module $KUBERNETES_VERSION
replace (
$(sed -n "s#^[[:space:]]*\(replace \)\{0,1\}\(k8s.io/[^ ]*\) => \./staging/.*#\2 => \2 v0${KUBERNETES_VERSION#v1}#p" "$gomod")
)
END
}
kubernetes_install() {
  command -v etcd > /dev/null || apt_install kubernetes etcd-server || return 1
  command -v openssl > /dev/null || apt_install kubernetes openssl || return 1
  kubernetes_built || build_slow kubernetes
}
kubernetes_start() {
  local etcd peer
  etcd=$(free_port) && peer=$(free_port) || return 1
  openssl genrsa -out "$2/sa.key" 2048 2> /dev/null || return 1
  # Kept apart from what tests are told to use: only members of system:masters are above RBAC.
  printf '%s\n' 'fairlead-admin,admin,admin,"system:masters"' 'fairlead-nobody,nobody,nobody' > "$2/tokens.csv"
  # Two processes behind one pid, and neither outlives it.
  API=$(kubernetes_binary) PORT=$1 DIR=$2 ETCD=$etcd PEER=$peer setsid bash -c '
    setpriv --pdeathsig KILL etcd --name n1 --data-dir "$DIR/etcd" --unsafe-no-fsync --logger zap --log-level warn \
      --listen-client-urls "http://127.0.0.1:$ETCD" --advertise-client-urls "http://127.0.0.1:$ETCD" \
      --listen-peer-urls "http://127.0.0.1:$PEER" --initial-advertise-peer-urls "http://127.0.0.1:$PEER" \
      --initial-cluster "n1=http://127.0.0.1:$PEER" &
    etcd=$!
    setpriv --pdeathsig KILL "$API" --etcd-servers="http://127.0.0.1:$ETCD" --bind-address=127.0.0.1 \
      --secure-port="$PORT" --cert-dir="$DIR/certs" --token-auth-file="$DIR/tokens.csv" --authorization-mode=RBAC \
      --service-account-issuer=https://fairlead.test --service-account-key-file="$DIR/sa.key" \
      --service-account-signing-key-file="$DIR/sa.key" --service-cluster-ip-range=10.0.0.0/24 \
      --endpoint-reconciler-type=none --disable-admission-plugins=ServiceAccount &
    api=$!
    trap "kill -KILL $api $etcd" TERM
    wait -n
    kill -KILL "$api" "$etcd" 2> /dev/null
    wait
  ' > "$STATE/kubernetes/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
kubernetes_signal() { echo TERM; }
