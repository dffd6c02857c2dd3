# Kafka: one broker in KRaft mode, and its command-line tools. The jars are fetched once by Maven; a CDS archive cuts each start from six
# seconds to two, and the formatted folder is kept and copied. The folder has a number of its own: raise it, here and in kafka-instance.ts,
# with any change under test/services/kafka-server.
KAFKA_HOME=$BIN/kafka-4.4.0-3
KAFKA_JAVA='java -Xshare:auto -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:disable -Xlog:all=error:stderr -Dorg.slf4j.simpleLogger.defaultLogLevel=warn'
# kcat: a reader and writer that shares nothing with ours (librdkafka).
kafka_built() { [ -x "$KAFKA_HOME/run" ] && command -v kcat > /dev/null; }
kafka_fits() { kafka_built; }
kafka_install() { kafka_built || build_slow kafka; }
kafka_build() {
  command -v kcat > /dev/null || apt_install kafka kcat || return 1
  [ -x "$KAFKA_HOME/run" ] && return 0
  command -v mvn > /dev/null && command -v java > /dev/null || apt_install kafka openjdk-17-jdk-headless maven || return 1
  say kafka "fetching it with Maven: see $STATE/kafka/install.log"
  local work
  work=$(mktemp -d) || return 1
  if (kafka_make "$work") > "$STATE/kafka/install.log" 2>&1; then
    rm -rf "$work"
  else
    rm -rf "$work" "$KAFKA_HOME"
    fail kafka "could not build it: see $STATE/kafka/install.log"
  fi
}
# In place, because the archive knows the jars by their paths. `run` comes last: without it nothing is built.
kafka_make() { # folder
  local home=$KAFKA_HOME port controller pid ended=0
  export LC_ALL=C
  rm -rf "$home" && mkdir -p "$home/lib" && cp "$REPO/test/services/kafka-server/base.properties" "$home/" || return 1
  # A repository of its own: Eureka may be fetched at the same time, and Maven's is not made for two.
  cd "$1" || return 1
  kafka_fetch "$1" pom "$home/lib" && kafka_fetch "$1" tools "$home/tools" || return 1
  CLASSPATH=$(printf '%s:' "$home"/lib/*.jar)
  export CLASSPATH=${CLASSPATH%:}
  port=$(free_port) && controller=$(free_port) || return 1
  kafka_properties "$home/base.properties" "$port" "$controller" "$1/data" > "$1/server.properties"
  mkdir "$1/data"
  $KAFKA_JAVA kafka.tools.StorageTool format --cluster-id fairleadTestCluster01 --config "$1/server.properties" || return 1
  cp -R "$1/data" "$home/formatted" || return 1
  # A tool by its class, with its arguments.
  cat > "$home/tool" << TOOL
#!/bin/sh
home=\$(cd "\$(dirname "\$0")" && pwd)
exec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "\$home/tools/*" "\$@"
TOOL
  chmod 755 "$home/tool"
  # The archive holds what one run has loaded, and is written when that run ends.
  $KAFKA_JAVA -XX:ArchiveClassesAtExit="$home/kafka.jsa" kafka.Kafka "$1/server.properties" &
  pid=$!
  wait_ready "$pid" "$port" && kafka_ask "$port"
  kill -TERM "$pid"
  wait "$pid" || ended=$?
  # 143: ended by our TERM.
  [ "$ended" = 143 ] || [ "$ended" = 0 ] || return 1
  # The server, with a file of properties.
  cat > "$home/run.new" << RUN
#!/bin/sh
LC_ALL=C home=\$(cd "\$(dirname "\$0")" && pwd)
CLASSPATH=\$(printf '%s:' "\$home"/lib/*.jar)
export CLASSPATH=\${CLASSPATH%:}
exec $KAFKA_JAVA -XX:SharedArchiveFile="\$home/kafka.jsa" kafka.Kafka "\$@"
RUN
  chmod 755 "$home/run.new" && mv "$home/run.new" "$home/run"
}
kafka_fetch() { # folder, name of the list, where to
  cp "$REPO/test/services/kafka-server/$2.xml" "$1/" &&
    mvn -B -q -f "$1/$2.xml" -Dmaven.repo.local="$1/repository" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$3"
}
# A topic and a record load what answers need.
kafka_ask() { # port
  "$KAFKA_HOME/tool" org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$1" --create --topic warm --partitions 1 &&
    echo warm | kcat -b "127.0.0.1:$1" -t warm -P &&
    kcat -b "127.0.0.1:$1" -t warm -C -e -q > /dev/null
}
kafka_properties() { # base, port, port of the controller, folder
  cat "$1"
  cat << PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:$3
log.dirs=$4
PROPERTIES
}
kafka_start() {
  local controller
  controller=$(free_port) || return 1
  cp -R "$KAFKA_HOME/formatted" "$2/logs" || return 1
  kafka_properties "$KAFKA_HOME/base.properties" "$1" "$controller" "$2/logs" > "$2/server.properties"
  setsid "$KAFKA_HOME/run" "$2/server.properties" > "$STATE/kafka/server.log" 2>&1 < /dev/null 9>&- &
  echo $!
}
kafka_signal() { echo TERM; }
