#!/usr/bin/env bash
# Checks of a cluster of Kafka brokers with Apache Kafka's own command line tools.
# Usage: cluster.sh HOST:PORT          all brokers of the cluster live
#        cluster.sh HOST:PORT gone ID  broker ID was killed and will not come back
# Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -u
broker=$1
gone=${3:-}
topic=moves

brokers() { "$kafka" kafka-cluster list-endpoints --bootstrap-server "$broker" "$@" | awk '$1 ~ /^[0-9]+$/'; }
records() { t kafka-console-consumer --topic "$topic" --from-beginning --max-messages 3000 --timeout-ms 60000 | sort -n | cmp - <(seq 1 3000); }
leaders() { t kafka-topics --describe --topic "$topic" | sed -n 's/.*Leader: \([0-9]*\).*/\1/p'; }
patiently() { for _ in $(seq 30); do if "$@"; then return 0; fi; done; return 1; } # a tool takes a second or more by itself

quorum() {
  t kafka-metadata-quorum describe --status | tee "$tmp/q"
  grep -Eq '^LeaderId: +[0-9]+$' "$tmp/q"; grep -Eq '^MaxFollowerLag: +[0-9]+$' "$tmp/q"
  t kafka-metadata-quorum describe --replication | tee "$tmp/q"
  [ "$(grep -c 'Leader' "$tmp/q")" = 1 ]
  [ "$(grep -c 'Follower' "$tmp/q")" = "$(($(brokers | wc -l) - 1))" ]
}

cluster() {
  "$kafka" kafka-cluster cluster-id --bootstrap-server "$broker" | has 'Cluster ID: '
  brokers | tee "$tmp/b"
  [ "$(grep -c ' unfenced ' "$tmp/b")" -ge 3 ]
  [ "$(t kafka-broker-api-versions | grep -c 'ELECT_LEADERS\|ElectLeaders(43): 0 to 2')" -ge 3 ]
  not "$kafka" kafka-cluster unregister --bootstrap-server "$broker" --id 77777 2>"$tmp/u"
  grep -q 'not currently registered' "$tmp/u"
}

features() {
  t kafka-features describe | has 'metadata.version.*FinalizedVersionLevel: 4.3-IV0'
  t kafka-features upgrade --metadata 4.3-IV0 | has 'was upgraded'
  not t kafka-features upgrade --feature no.such.feature=1
  not t kafka-features downgrade --feature metadata.version=29
}

plan() { # plan ID: all partitions of the topic to broker ID
  local p sep=
  printf '{"version":1,"partitions":['
  for p in 0 1 2 3 4 5; do printf '%s{"topic":"%s","partition":%d,"replicas":[%d]}' "$sep" "$topic" "$p" "$1"; sep=,; done
  printf ']}'
}

verified() { t kafka-reassign-partitions --reassignment-json-file "$1" --verify | tee "$tmp/v"; [ "$(grep -c 'is completed' "$tmp/v")" = 6 ]; }

reassign() {
  t kafka-topics --create --topic "$topic" --partitions 6
  seq 1 3000 | t kafka-console-producer --topic "$topic"
  local first last
  first=$(brokers | awk 'NR == 1 { print $1 }'); last=$(brokers | awk 'END { print $1 }')
  printf '{"version":1,"topics":[{"topic":"%s"}]}' "$topic" >"$tmp/topics.json"
  t kafka-reassign-partitions --topics-to-move-json-file "$tmp/topics.json" --broker-list "$first,$last" --generate | has 'Proposed partition reassignment'
  plan "$last" >"$tmp/to.json"
  t kafka-reassign-partitions --reassignment-json-file "$tmp/to.json" --execute --throttle 1000000 | has 'Successfully started'
  patiently verified "$tmp/to.json"
  [ "$(leaders | sort -u)" = "$last" ]
  t kafka-reassign-partitions --list | has 'No partition reassignments found'
  t kafka-reassign-partitions --reassignment-json-file "$tmp/to.json" --cancel | has 'None of the specified partition reassignments are active'
  records
  plan "$first" >"$tmp/back.json"
  t kafka-reassign-partitions --reassignment-json-file "$tmp/back.json" --execute
  patiently verified "$tmp/back.json"
  plan 77777 >"$tmp/nowhere.json"
  not t kafka-reassign-partitions --reassignment-json-file "$tmp/nowhere.json" --execute
  [ "$(leaders | sort -u)" = "$first" ]
  records
  plan "$last" >"$tmp/to.json"
  t kafka-reassign-partitions --reassignment-json-file "$tmp/to.json" --execute
  patiently verified "$tmp/to.json"
}

election() {
  t kafka-leader-election --election-type preferred --all-topic-partitions
  t kafka-leader-election --election-type preferred --topic "$topic" --partition 0 | has 'Valid replica already elected'
  t kafka-leader-election --election-type unclean --topic "$topic" --partition 1 | has 'Valid replica already elected'
  not t kafka-leader-election --election-type preferred --topic "$topic" --partition 9
}

fenced() { brokers --include-fenced-brokers | has "^$gone .* fenced "; }
elected() { t kafka-leader-election --election-type unclean --topic "$topic" --partition 0 | grep -E 'Valid replica already elected|Successfully completed leader election'; }
unregistered() { "$kafka" kafka-cluster unregister --bootstrap-server "$broker" --id "$gone" | has 'no longer registered'; }
led() { [ "$(leaders | wc -l)" = 6 ] && [ "$(leaders | grep -cx "$gone")" = 0 ]; }

failover() {
  patiently fenced
  brokers >"$tmp/b"; not grep -q "^$gone " "$tmp/b"
  patiently elected
  patiently led
  records
}

unregister() {
  patiently unregistered
  not fenced
  not unregistered
  records
}

if [ "${2:-}" = gone ]; then
  check 'a broker that is gone' failover
  check 'kafka-cluster unregister' unregister
else
  check kafka-metadata-quorum quorum
  check 'kafka-cluster and kafka-broker-api-versions' cluster
  check kafka-features features
  check kafka-reassign-partitions reassign
  check kafka-leader-election election
fi
exit $failed
