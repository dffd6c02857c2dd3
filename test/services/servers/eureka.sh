# Eureka: the registry of the discovery suites, as Spring Cloud packs it. Built once by Maven (half a minute), with a CDS archive
# that takes a third off each start. The folder has a number of its own: raise it, here and in eureka-instance.ts, with any change
# under test/services/eureka-server.
EUREKA_HOME=$BIN/eureka-2025.0.0-2
eureka_built() { [ -x "$EUREKA_HOME/run" ]; }
eureka_install() { eureka_built || build_slow eureka; }
eureka_build() {
  command -v mvn > /dev/null && command -v java > /dev/null || apt_install eureka openjdk-17-jdk-headless maven || return 1
  say eureka "building it with Maven: see $STATE/eureka/install.log"
  local work
  work=$(mktemp -d) || return 1
  if (eureka_make "$work") > "$STATE/eureka/install.log" 2>&1; then
    rm -rf "$EUREKA_HOME"
    mv "$work/home" "$EUREKA_HOME"
    rm -rf "$work"
  else
    rm -rf "$work"
    fail eureka "could not build it: see $STATE/eureka/install.log"
  fi
}
eureka_make() { # folder
  local home=$1/home java='java -Xshare:auto -Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1' port pid ended=0
  cp -R "$REPO/test/services/eureka-server" "$1/source" && cd "$1/source" || return 1
  mvn -B -q -DskipTests package || return 1
  java -Djarmode=tools -jar target/eureka-1.jar extract --destination "$home" || return 1
  # PORT, folder for Tomcat's own files, options of Spring.
  cat > "$home/run.new" << RUN
#!/bin/sh
home=\$(cd "\$(dirname "\$0")" && pwd) port=\$1 folder=\$2
shift 2
cd "\$folder" || exit 1
exec $java -XX:SharedArchiveFile="\$home/eureka.jsa" -Xlog:cds=off -Xlog:cds+dynamic=off -Djava.io.tmpdir="\$folder" \\
  -jar "\$home/eureka-1.jar" --server.port="\$port" "\$@"
RUN
  chmod 755 "$home/run.new"
  # The archive holds what one run has loaded, and is written when that run ends.
  port=$(free_port) || return 1
  mkdir "$1/tmp"
  $java -XX:ArchiveClassesAtExit="$home/eureka.jsa" -Djava.io.tmpdir="$1/tmp" -jar "$home/eureka-1.jar" --server.port="$port" &
  pid=$!
  wait_ready "$pid" "$port" && eureka_ask "$port"
  kill -TERM "$pid"
  wait "$pid" || ended=$?
  # 143: ended by our TERM.
  [ "$ended" = 143 ] && mv "$home/run.new" "$home/run"
}
# A first answer loads what answers need.
eureka_ask() {
  exec 3<> "/dev/tcp/127.0.0.1/$1" && printf 'GET /eureka/apps HTTP/1.0\r\nAccept: application/json\r\n\r\n' >&3 && cat <&3
  exec 3>&-
}
eureka_start() {
  setsid "$EUREKA_HOME/run" "$1" "$2" > "$STATE/eureka/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
eureka_signal() { echo TERM; }
