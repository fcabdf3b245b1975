"""Reads a compacted topic with confluent-kafka (librdkafka): see compacted_test.go for the lines it speaks. librdkafka's own position stays behind the
last record; where it is, beyond gaps and markers, its end of the partition tells.

Usage: compacted.py HOST:PORT TOPIC PARTITION:OFFSET..."""
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

BOOTSTRAP, TOPIC = sys.argv[1:3]
SEEKS = [tuple(int(n) for n in s.split(":")) for s in sys.argv[3:]]
DEADLINE = time.monotonic() + 120


def poll(c):
    """Returns the next record, and None with the offset at the end of the partition."""
    while True:
        if time.monotonic() > DEADLINE:
            raise TimeoutError("neither a record nor the end came")
        m = c.poll(1)
        if m is None:
            continue
        if m.error() is None:
            return m, m.offset()
        if m.error().code() == KafkaError._PARTITION_EOF:
            return None, m.offset()
        raise KafkaException(m.error())


def text(b):
    return "null" if b is None else b.decode()


def read(isolation, partition):
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "reader", "enable.auto.commit": False, "check.crcs": True, "enable.partition.eof": True,
                  "isolation.level": isolation, "auto.offset.reset": "error", "fetch.wait.max.ms": 20})
    c.assign([TopicPartition(TOPIC, partition, 0)])
    while True:
        m, offset = poll(c)
        if m is None:
            break
        print("read", isolation, partition, offset, text(m.key()), text(m.value()))
    print("end", isolation, partition, offset)
    for p, start in SEEKS:
        if p == partition:
            c.seek(TopicPartition(TOPIC, p, start))
            m, offset = poll(c)
            print("seek", isolation, partition, start, "end" if m is None else offset)
    c.close()


for isolation in ("read_uncommitted", "read_committed"):
    for partition in range(2):
        read(isolation, partition)
