"""Keeps a producer and a group running, or reads a topic, with confluent-kafka (librdkafka): see failover_test.go for the lines it speaks.

Usage: failover.py load HOST:PORT,... TOPIC GROUP
       failover.py read HOST:PORT,... TOPIC COUNT"""
import os
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

BOOTSTRAP, TOPIC = sys.argv[2], sys.argv[3]
PARTITIONS = 6
RATE = int(os.environ.get("RATE", "200"))  # records per second, at most
lock = threading.Lock()


def say(*words):
    with lock:
        print(*words, flush=True)


def note(err):
    """What the library retries by itself is told for information; what is fatal is an error."""
    if err.fatal():
        say("error", err)
    else:
        print(time.strftime("%H:%M:%S"), err, file=sys.stderr, flush=True)


def produce(stop):
    def delivered(err, msg):
        if err:
            say("error", f"delivery of {msg.value()} to partition {msg.partition()}: {err}")
        else:
            say("acked", msg.partition(), msg.offset(), msg.value().decode())

    p = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "acks": "all", "linger.ms": 5, "error_cb": note})
    n = 0
    while not stop.is_set():
        p.produce(TOPIC, value=str(n).encode(), partition=n % PARTITIONS, on_delivery=delivered)
        n += 1
        p.poll(1 / RATE)
    left = p.flush(180)
    if left:
        say("error", left, "records were not delivered")
    say("flushed")


def consume(group, stop):
    config = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 500, "error_cb": note}
    if os.environ.get("GROUP_PROTOCOL") == "consumer":
        config["group.protocol"] = "consumer"  # where the session is the broker's to choose
    else:
        config["session.timeout.ms"] = 10000
    c = Consumer(config)
    c.subscribe([TOPIC])
    while not stop.is_set():
        m = c.poll(0.2)
        if m is None:
            continue
        if m.error():
            note(m.error())
        else:
            say("consumed", m.partition(), m.offset())
    c.close()


def load(group):
    finish, leave = threading.Event(), threading.Event()
    threads = [threading.Thread(target=produce, args=(finish,)), threading.Thread(target=consume, args=(group, leave))]
    for t in threads:
        t.start()
    sys.stdin.readline()
    finish.set()
    sys.stdin.read()
    leave.set()
    for t in threads:
        t.join()


def read(count):
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "reader", "enable.auto.commit": False, "check.crcs": True})
    c.assign([TopicPartition(TOPIC, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    while count > 0:
        for m in c.consume(1000, 0.5):
            if m.error():
                raise KafkaException(m.error())
            say("read", m.partition(), m.offset(), m.value().decode())
            count -= 1
    c.close()


if sys.argv[1] == "load":
    load(sys.argv[4])
else:
    read(int(sys.argv[4]))
