#!/usr/bin/env bash
# Checks of a Kafka broker with Apache Kafka's own command line tools. Usage: check.sh HOST:PORT [records]
# With "records" those alone that write and read records.
# Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -u
broker=$1
run=$(date +%s%N)

topics() {
  t kafka-topics --create --topic "java-$run" --partitions 3 --replication-factor 1 --config retention.ms=123456
  t kafka-topics --describe --topic "java-$run" | tee "$tmp/d"
  grep -q 'PartitionCount: 3' "$tmp/d"; grep -q 'retention.ms=123456' "$tmp/d"
  [ "$(grep -c 'Leader: [0-9]' "$tmp/d")" = 3 ]
  t kafka-topics --alter --topic "java-$run" --partitions 4
  t kafka-topics --describe --topic "java-$run" | has 'PartitionCount: 4'
  t kafka-topics --list | has -x "java-$run"
  not t kafka-topics --create --topic "java-$run"
  t kafka-topics --create --if-not-exists --topic "java-$run"
  t kafka-topics --create --topic "java-gone-$run"
  t kafka-topics --delete --topic "java-gone-$run"
  for _ in $(seq 20); do t kafka-topics --list >"$tmp/d"; grep -qx "java-gone-$run" "$tmp/d" || return 0; done
  return 1
}

console() {
  seq 1 2000 >"$tmp/in"
  t kafka-topics --create --topic "java-console-$run"
  t kafka-console-producer --topic "java-console-$run" --compression-codec zstd <"$tmp/in"
  t kafka-console-consumer --topic "java-console-$run" --from-beginning --max-messages 2000 --timeout-ms 60000 --group "java-$run" >"$tmp/out"
  cmp "$tmp/in" "$tmp/out"
}

# A member of each protocol reads, tools see the group and change its offsets.
consumer_protocol() {
  local group="java-848-$run" topic="java-848-$run"
  seq 1 300 >"$tmp/in848"
  t kafka-topics --create --topic "$topic" --partitions 1
  t kafka-console-producer --topic "$topic" <"$tmp/in848"
  t kafka-console-consumer --topic "$topic" --from-beginning --max-messages 300 --timeout-ms 60000 --group "$group" \
    --command-property group.protocol=consumer >"$tmp/out848"
  cmp "$tmp/in848" "$tmp/out848"
  t kafka-groups --list | grep "$group" | has Consumer
  t kafka-consumer-groups --describe --group "$group" --state | has Empty
  t kafka-consumer-groups --group "$group" --topic "$topic" --reset-offsets --to-offset 200 --execute
  t kafka-console-consumer --include "java-848-$run" --max-messages 100 --timeout-ms 60000 --group "$group" \
    --command-property group.protocol=consumer >"$tmp/out848"
  tail -n 100 "$tmp/in848" | cmp - "$tmp/out848"
  t kafka-consumer-groups --delete --group "$group"
}

groups() {
  t kafka-consumer-groups --list | has -x "java-$run"
  t kafka-consumer-groups --describe --group "java-$run" | tee "$tmp/d"
  awk -v topic="java-console-$run" '$2 == topic && $4 == 2000 && $5 == 2000 && $6 == 0 { ok = 1 } END { exit !ok }' "$tmp/d"
  t kafka-consumer-groups --group "java-$run" --topic "java-console-$run" --reset-offsets --to-offset 500 --execute
  t kafka-consumer-groups --describe --group "java-$run" | awk '$6 == 1500 { ok = 1 } END { exit !ok }'
  t kafka-consumer-groups --describe --group "java-$run" --state | has Empty
  t kafka-consumer-groups --delete-offsets --group "java-$run" --topic "java-console-$run"
  t kafka-consumer-groups --delete --group "java-$run"
  t kafka-consumer-groups --list >"$tmp/d"; not grep -qx "java-$run" "$tmp/d"
}

shares() { # needs what console() has produced, in the file $tmp/in too
  t kafka-configs --alter --entity-type groups --entity-name "java-share-$run" --add-config share.auto.offset.reset=earliest
  t kafka-console-share-consumer --topic "java-console-$run" --group "java-share-$run" --max-messages 2000 --timeout-ms 60000 >"$tmp/out"
  sort -n "$tmp/out" | cmp "$tmp/in" -
  t kafka-share-groups --list | has -x "java-share-$run"
  t kafka-share-groups --describe --group "java-share-$run" | awk -v topic="java-console-$run" '$2 == topic && $5 == 0 { ok = 1 } END { exit !ok }'
  t kafka-share-groups --reset-offsets --group "java-share-$run" --topic "java-console-$run" --to-earliest --execute
  t kafka-console-share-consumer --topic "java-console-$run" --group "java-share-$run" --max-messages 500 --timeout-ms 60000 --reject >"$tmp/out"
  [ "$(sort -u "$tmp/out" | wc -l)" = 500 ]
  t kafka-share-groups --delete --group "java-share-$run"
  t kafka-share-groups --list >"$tmp/d"; not grep -qx "java-share-$run" "$tmp/d"
}

configs() {
  t kafka-configs --alter --entity-type topics --entity-name "java-$run" --add-config max.message.bytes=54321,cleanup.policy=[compact,delete]
  t kafka-configs --describe --entity-type topics --entity-name "java-$run" | tee "$tmp/d"
  grep -q max.message.bytes=54321 "$tmp/d"; grep -q cleanup.policy=compact,delete "$tmp/d"
  t kafka-configs --alter --entity-type topics --entity-name "java-$run" --delete-config max.message.bytes
  t kafka-configs --describe --entity-type topics --entity-name "java-$run" >"$tmp/d"; not grep -q max.message.bytes=54321 "$tmp/d"
  t kafka-configs --describe --entity-type topics --entity-name "java-$run" --all | has 'max.message.bytes=1048588'
  id=$(t kafka-broker-api-versions | sed -n 's/.*(id: \([0-9]*\) .*/\1/p' | sed -n 1p)
  t kafka-configs --describe --entity-type brokers --entity-name "$id" --all | has log.retention
  not t kafka-configs --alter --entity-type topics --entity-name "java-$run" --add-config no.such.config=1
}

resources() {
  t kafka-configs --alter --entity-type groups --entity-name "java-$run" --add-config consumer.session.timeout.ms=50000
  t kafka-configs --describe --entity-type groups --entity-name "java-$run" | has 'consumer.session.timeout.ms=50000 .*DEFAULT_CONFIG:group.consumer.session.timeout.ms=45000'
  t kafka-configs --alter --entity-type brokers --entity-default --add-config log.cleaner.threads=2
  # A topic's class of WAL is Sluice's own setting, and goes the same way.
  t kafka-configs --alter --entity-type topics --entity-name "java-$run" --add-config sluice.wal.class=s3
  t kafka-configs --describe --entity-type topics --entity-name "java-$run" | has 'sluice.wal.class=s3 '
}

# A producer may send what all windows hold at once, 200 KB, and then 20 KB a second: with 300 KB it takes at least 4 s, whatever the machine does.
quotas() {
  t kafka-configs --alter --entity-type clients --entity-name "java-slow-$run" --add-config producer_byte_rate=20000,request_percentage=200
  t kafka-configs --describe --entity-type clients --entity-name "java-slow-$run" | has "producer_byte_rate=20000.0"
  local began=$SECONDS
  "$kafka" kafka-producer-perf-test --topic "java-perf-$run" --num-records 3000 --record-size 100 --throughput -1 \
    --producer-props "bootstrap.servers=$broker" "client.id=java-slow-$run" batch.size=4096 | tail -n 1 | has '3000 records sent'
  [ "$((SECONDS - began))" -ge 4 ]
}

telemetry() {
  t kafka-client-metrics --alter --name "java-$run" --metrics org.apache.kafka.producer. --interval 60000 --match "client_id=java-$run.*"
  t kafka-client-metrics --describe --name "java-$run" | has 'interval.ms=60000'
}

transactions() {
  t kafka-topics --create --topic "java-txn-$run" --partitions 1
  "$kafka" kafka-producer-perf-test --topic "java-txn-$run" --num-records 2000 --record-size 100 --throughput 4000 --transactional-id "java-$run" \
    --transaction-duration-ms 50 --producer-props "bootstrap.servers=$broker" | tail -n 1 | has '2000 records sent'
  t kafka-transactions list | has "java-$run[[:space:]].*CompleteCommit"
  t kafka-transactions describe --transactional-id "java-$run" | has "java-$run[[:space:]].*CompleteCommit"
  t kafka-console-consumer --topic "java-txn-$run" --from-beginning --isolation-level read_committed --max-messages 2000 --timeout-ms 60000 >"$tmp/out"
  [ "$(wc -l <"$tmp/out")" = 2000 ]
  # A producer dies with its transaction open, and an administrator ends it in the partition.
  "$kafka" kafka-producer-perf-test --topic "java-txn-$run" --num-records 1000 --record-size 100 --throughput 20 --transactional-id "java-open-$run" \
    --transaction-duration-ms 600000 --producer-props "bootstrap.servers=$broker" linger.ms=0 >/dev/null & open=$!
  for _ in $(seq 60); do
    start=$(t kafka-transactions describe-producers --topic "java-txn-$run" --partition 0 | awk '$6 ~ /^[0-9]+$/ { print $6 }')
    [ -n "$start" ] && break
  done
  kill -9 "$open"; wait "$open" 2>/dev/null || true
  t kafka-transactions list | has "java-open-$run[[:space:]].*Ongoing"
  not grep -q "java-txn-$run" <(t kafka-transactions find-hanging --topic "java-txn-$run" --partition 0)
  t kafka-transactions abort --topic "java-txn-$run" --partition 0 --start-offset "$start"
  t kafka-transactions describe-producers --topic "java-txn-$run" --partition 0 >"$tmp/d"
  not awk '$6 ~ /^[0-9]+$/ { ok = 1 } END { exit !ok }' "$tmp/d"
}

perf() {
  "$kafka" kafka-producer-perf-test --topic "java-perf-$run" --num-records 200000 --record-size 200 --throughput -1 \
    --producer-props "bootstrap.servers=$broker" acks=all enable.idempotence=true | tail -n 1 | has '200000 records sent'
  t kafka-get-offsets --topic "java-perf-$run" | has -x "java-perf-$run:0:200000"
  t kafka-consumer-perf-test --topic "java-perf-$run" --messages 200000 --timeout 60000 | tail -n 1 | awk -F', ' '{ exit !($5 >= 200000) }'
}

records() {
  t kafka-get-offsets --topic "java-console-$run" --time earliest | has -x "java-console-$run:0:0"
  printf '{"version":1,"partitions":[{"topic":"java-console-%s","partition":0,"offset":700}]}' "$run" >"$tmp/offsets.json"
  t kafka-delete-records --offset-json-file "$tmp/offsets.json" | has 'low_watermark: 700'
  t kafka-get-offsets --topic "java-console-$run" --time earliest | has -x "java-console-$run:0:700"
  t kafka-get-offsets --topic "java-console-$run" --time max-timestamp | has "java-console-$run:0:"
}

cluster() {
  "$kafka" kafka-cluster cluster-id --bootstrap-server "$broker" | has 'Cluster ID: '
  t kafka-log-dirs --describe --topic-list "java-console-$run" | has '"partition":"java-console-'
  t kafka-groups --list >/dev/null
}

verifiable() {
  t kafka-verifiable-producer --topic "java-verify-$run" --max-messages 3000 >"$tmp/p"
  grep -q '"acked":3000' "$tmp/p"
  t kafka-verifiable-consumer --topic "java-verify-$run" --group-id "verify-$run" --max-messages 3000 --reset-policy earliest --enable-autocommit >"$tmp/c"
  grep -q '"name":"records_consumed"' "$tmp/c"
}

check kafka-topics topics
check 'console producer and consumer' console
check 'transactional producer and kafka-transactions' transactions
check 'producer and consumer perf-test' perf
check 'verifiable producer and consumer' verifiable
if [ "${2:-}" != records ]; then
  check kafka-consumer-groups groups
  check 'the consumer protocol' consumer_protocol
  check 'share consumer and kafka-share-groups' shares
  check kafka-configs configs
  check 'kafka-configs of groups, brokers, loggers and sluice.wal.class' resources
  check 'client quotas' quotas
  check kafka-client-metrics telemetry
  check 'get-offsets and delete-records' records
  check 'cluster, log-dirs, groups' cluster
fi
exit $failed
