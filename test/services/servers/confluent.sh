# @confluentinc/kafka-javascript: no server but a client of Kafka, whose suite stands beside those of the servers because it has to be built as well. Without root
# its binary can only be fetched from GitHub, and its own copy of librdkafka fetches more; with Debian's libraries it is built in two and a half minutes of one
# core. It is left out where that cannot be, FAIRLEAD_REQUIRE_SERVICES or not: an optional peer, and its compiler must not decide about everything else.
CONFLUENT_VERSION=1.10.1
CONFLUENT_HOME=$BIN/confluent-v$CONFLUENT_VERSION
confluent_built() { [ -d "$CONFLUENT_HOME" ]; }
confluent_install() { confluent_built || build_slow confluent; }
confluent_build() {
  apt_install confluent g++ make python3 libcurl4-openssl-dev libssl-dev zlib1g-dev libzstd-dev libsasl2-dev liblz4-dev || return 1
  local log=$STATE/confluent/install.log
  say confluent "building @confluentinc/kafka-javascript, which takes minutes: see $log"
  BUILDING=$(mktemp -d) || return 1
  trap 'rm -rf "$BUILDING"' EXIT
  trap 'exit 143' TERM INT
  echo '{ "private": true }' > "$BUILDING/package.json"
  if (confluent_make "$BUILDING/node_modules/@confluentinc/kafka-javascript") > "$log" 2>&1; then
    # In one step: half of it must not be taken for all.
    rm -rf "$CONFLUENT_HOME.new" && cp -R "$BUILDING" "$CONFLUENT_HOME.new" && mv "$CONFLUENT_HOME.new" "$CONFLUENT_HOME"
  else
    fail confluent "could not build it: see $log"
  fi
}
confluent_make() { # folder of the package
  cd "$BUILDING" || return 1
  # Its makefile is not made for several jobs at once.
  env -u MAKEFLAGS -u JOBS CKJS_LINKING=dynamic nice -n 19 npm install --no-audit --no-fund --foreground-scripts \
    "@confluentinc/kafka-javascript@$CONFLUENT_VERSION" || return 1
  # A quarter of a gigabyte that was only needed for building.
  rm -rf "$1/deps" "$1/build/Release/obj.target" "$1/build/deps/librdkafka" "$1/build/deps/include" "$1"/build/deps/*.a
  node -e "require('@confluentinc/kafka-javascript')"
}
