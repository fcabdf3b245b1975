"""Copies a topic to another one with confluent-kafka (librdkafka), each record exactly once: a transaction holds copies and the offsets up to which they are
made. It prints `copied COUNT` for each transaction that was committed, and `again TEXT` when one is begun anew. It ends when its input ends. A call that takes longer than STUCK
seconds, which is longer than it was allowed, is written to standard error with what it waits for, and the program begins anew.

Usage: copy.py copy HOST:PORT,... FROM TO"""
import faulthandler
import os
import sys
import threading

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BOOTSTRAP, FROM, TO = sys.argv[2:5]
STUCK = 45
stop = threading.Event()


def hangs(name):
    """Begins anew in the place of a thread that is in a call: send_offsets_to_transaction has no end when the coordinator of the group goes away meanwhile, whatever its timeout (librdkafka
    issues 5456 and 5511)."""
    faulthandler.dump_traceback()
    print("again", name, flush=True)
    restart()


def until(call, *args):
    """Calls until it succeeds or fails in a way that another call does not mend."""
    while True:
        watch = threading.Timer(STUCK, hangs, [call.__name__])
        watch.daemon = True
        watch.start()
        try:
            return call(*args)
        except KafkaException as e:
            print(call.__name__, e.args[0], file=sys.stderr, flush=True)
            if not e.args[0].retriable() or e.args[0].txn_requires_abort():
                raise
        finally:
            watch.cancel()


def new_producer():
    p = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "copy-of-" + FROM, "transaction.timeout.ms": 20000, "linger.ms": 2, "error_cb": lambda e: None})
    until(p.init_transactions, 30)
    return p


def rewind(c):
    """Goes back to what is committed."""
    for at in until(c.committed, c.assignment(), 30):
        c.seek(TopicPartition(at.topic, at.partition, max(at.offset, 0)))


def restart():
    """Begins anew, as after a crash: the next producer of the same id fences this one, and its transaction with it. The library's own way, to give the producer
    up and make another, has been seen not to return."""
    os.execv(sys.executable, [sys.executable] + sys.argv)


def copy(c, p, messages):
    p.begin_transaction()
    ends = {}
    for m in messages:
        p.produce(TO, value=m.value(), partition=m.partition())
        ends[m.partition()] = m.offset() + 1
    offsets = [TopicPartition(FROM, partition, offset) for partition, offset in ends.items()]
    until(p.send_offsets_to_transaction, offsets, c.consumer_group_metadata(), 30)
    until(p.commit_transaction, 30)


def main():
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "copiers-of-" + FROM, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                  "isolation.level": "read_committed", "session.timeout.ms": 10000, "error_cb": lambda e: None})
    c.subscribe([FROM])
    try:
        p = new_producer()
    except KafkaException:
        restart()
    while not stop.is_set():
        messages = [m for m in c.consume(1000, 0.2) if not m.error()]
        if not messages:
            continue
        try:
            copy(c, p, messages)
            print("copied", len(messages), flush=True)
        except KafkaException as e:
            print("again", e.args[0].name(), flush=True)
            try:
                if not e.args[0].txn_requires_abort():
                    restart()
                until(p.abort_transaction, 30)
            except KafkaException:
                restart()
            while not stop.is_set():
                try:
                    rewind(c)
                    break
                except KafkaException:
                    c.poll(0.2)
    c.close()


threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
main()
