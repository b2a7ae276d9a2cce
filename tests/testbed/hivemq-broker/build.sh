#!/usr/bin/env bash
# build.sh - prints the class path of HiveMQ CE with the broker of Broker.java: fetched with Maven and compiled on first use, then
# kept in the testbed's cache. HIVEMQ_VERSION picks another release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
VERSION=${HIVEMQ_VERSION:-2025.5}
home=$TESTBED_CACHE/hivemq-$VERSION-$(sha256sum "$here/Broker.java" | cut -c1-8)

build() {
  testbed_need mvn kafka # Maven, and a Java to run
  testbed_need javac 'openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless'
  rm -rf "$home"
  mkdir -p "$home/classes"
  cat >"$home/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>testbed</groupId><artifactId>hivemq</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>com.hivemq</groupId><artifactId>hivemq-community-edition-embedded</artifactId><version>$VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
  (cd "$home" && MAVEN_OPTS="-XX:-UsePerfData ${MAVEN_OPTS:-}" mvn -B -q dependency:copy-dependencies -DoutputDirectory="$home/libs" -DincludeScope=runtime) \
    >"$home/mvn.log" 2>&1 </dev/null || {
    tail -n 30 "$home/mvn.log" >&2
    return 1
  }
  javac -J-XX:-UsePerfData -d "$home/classes" -cp "$home/libs/*" "$here/Broker.java" >&2
  : >"$home/.complete"
}

if [ ! -e "$home/.complete" ]; then
  (
    flock 9
    [ -e "$home/.complete" ] || build
  ) 9>"$home.lock"
fi
echo "$home/classes:$home/libs/*"
