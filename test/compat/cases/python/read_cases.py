"""Cases about consumers that are no members of a group with others: where they start, how they move, what they commit."""
import time

from adapter import Refused
from data_cases import refused, send_all, take, values
from runner import case, check, until

TEN = [b"%d" % i for i in range(10)]


def filled(k, name, partitions=1, **config):
    topic = k.topic(name, partitions, **config)
    for p in range(partitions):
        send_all(k, topic, TEN, partition=p)
    return topic


def assigned(k, topic, partition=0, **conf):
    c = k.consumer(**conf)
    c.assign([(topic, partition)])
    return c


def drain(c, count, seconds=40):
    got = take(c, count, seconds)
    check(c.poll(0.3), [], "further records")
    return values(got)


@case("consume/earliest")
def _(k):
    c = k.consumer(group=k.name("g-earliest"), reset="earliest")
    c.subscribe([filled(k, "earliest")])
    check(drain(c, 10), TEN)
    c.close()


@case("consume/latest")
def _(k):
    topic = filled(k, "latest")
    c = k.consumer(group=k.name("g-latest"), reset="latest")
    c.subscribe([topic])
    deadline, got = time.monotonic() + 30, []
    while not got:
        assert time.monotonic() < deadline, "no record came"
        send_all(k, topic, [b"new"])
        got = c.poll(0.5)
    check({r.value for r in got}, {b"new"}, "values")
    c.close()


@case("consume/from-offset")
def _(k):
    topic = filled(k, "fromoffset")
    c = assigned(k, topic)
    c.seek((topic, 0), 7)
    check(drain(c, 3), TEN[7:])
    c.close()


@case("consume/seek-back")
def _(k):
    topic = filled(k, "seekback")
    c = assigned(k, topic)
    c.seek_to_beginning((topic, 0))
    take(c, 10)
    c.seek((topic, 0), 4)
    check(drain(c, 6), TEN[4:])
    c.close()


@case("consume/seek-to-end-and-beginning")
def _(k):
    topic = filled(k, "seekends")
    c = assigned(k, topic)
    c.seek_to_end((topic, 0))
    check(c.poll(0.5), [], "records at the end")
    c.seek_to_beginning((topic, 0))
    check(drain(c, 10), TEN)
    c.close()


@case("consume/position")
def _(k):
    topic = filled(k, "position")
    c = assigned(k, topic)
    c.seek_to_beginning((topic, 0))
    take(c, 10)
    check(c.position((topic, 0)), 10, "position")
    c.close()


@case("consume/pause-and-resume")
def _(k):
    topic = filled(k, "pause", 2)
    c = k.consumer()
    c.assign([(topic, 0), (topic, 1)])
    c.pause((topic, 0))
    for p in range(2):
        c.seek_to_beginning((topic, p))
    c.pause((topic, 0))
    check({r.partition for r in take(c, 10)}, {1}, "partitions")
    check(c.poll(0.5), [], "records of the paused partition")
    c.resume((topic, 0))
    check(drain(c, 10), TEN)
    c.close()


@case("consume/assign-several")
def _(k):
    topic = filled(k, "assign", 4)
    c = k.consumer()
    c.assign([(topic, 1), (topic, 3)])
    for p in (1, 3):
        c.seek_to_beginning((topic, p))
    got = take(c, 20)
    check({p: [r.value for r in got if r.partition == p] for p in range(4)}, {0: [], 1: TEN, 2: [], 3: TEN})
    check(c.assignment(), {(topic, 1), (topic, 3)}, "assignment")
    c.close()


@case("consume/subscribe-two-topics")
def _(k):
    topics = [filled(k, "sub-a"), filled(k, "sub-b")]
    c = k.consumer(group=k.name("g-two"))
    c.subscribe(topics)
    got = take(c, 20)
    for t in topics:
        check([r.value for r in got if r.topic == t], TEN)
    c.close()


@case("consume/subscribe-pattern")
def _(k):
    topics = [filled(k, "pat-a"), filled(k, "pat-b")]
    filled(k, "other-pat")
    c = k.consumer(group=k.name("g-pattern"))
    c.subscribe_pattern("^" + k.name("pat-.*"))
    got = take(c, 20)
    check({r.topic for r in got}, set(topics), "topics")
    c.close()


@case("consume/change-subscription")
def _(k):
    a, b = filled(k, "change-a"), filled(k, "change-b")
    c = k.consumer(group=k.name("g-change"))
    c.subscribe([a])
    check({r.topic for r in take(c, 10)}, {a}, "topics")
    c.subscribe([b])
    check({r.topic for r in take(c, 10)}, {b}, "topics")
    c.close()


@case("consume/small-fetches")
def _(k):
    topic = k.topic("smallfetch")
    many = [b"%d" % i * 50 for i in range(500)]
    for i in range(0, 500, 50):
        send_all(k, topic, many[i:i + 50], linger_ms=5)
    c = assigned(k, topic, fetch_bytes=2000)
    c.seek_to_beginning((topic, 0))
    check(drain(c, 500), many)
    c.close()


@case("consume/after-deleted-records")
def _(k):
    topic = filled(k, "trimmed")
    k.delete_records((topic, 0), 6)
    c = assigned(k, topic)
    c.seek_to_beginning((topic, 0))
    check(drain(c, 4), TEN[6:])
    check(c.beginning((topic, 0)), 6, "first offset")
    c.close()


@case("errors/offset-out-of-range-resets")
def _(k):
    topic = filled(k, "outofrange")
    c = assigned(k, topic, reset="earliest")
    c.seek((topic, 0), 1000)
    check(drain(c, 10), TEN)
    c.close()


@case("errors/offset-out-of-range-without-reset")
def _(k):
    topic = filled(k, "outofrange2")
    c = assigned(k, topic, reset="none")
    c.seek((topic, 0), 1000)
    try:
        got = take(c, 1, 15)
    except Refused as e:
        assert e.code in (1, -140), f"error code is {e.code}"
    else:
        raise AssertionError(f"not refused, but {got}")
    c.close()


@case("offsets/commit-and-resume")
def _(k):
    topic, group = filled(k, "commit"), k.name("g-commit")
    c = assigned(k, topic, group=group)
    take(c, 10)
    c.commit()
    check(c.committed((topic, 0)), 10, "committed offset")
    c.close()
    send_all(k, topic, [b"next"])
    c = assigned(k, topic, group=group)
    check(drain(c, 1), [b"next"])
    c.close()


@case("offsets/commit-chosen-offset")
def _(k):
    topic, group = filled(k, "chosen"), k.name("g-chosen")
    c = assigned(k, topic, group=group)
    c.commit({(topic, 0): 3})
    check(c.committed((topic, 0)), 3, "committed offset")
    c.close()
    c = assigned(k, topic, group=group)
    check(drain(c, 7), TEN[3:])
    c.close()


@case("offsets/commit-backwards")
def _(k):
    topic = filled(k, "backwards")
    c = assigned(k, topic, group=k.name("g-backwards"))
    for offset in (8, 2):
        c.commit({(topic, 0): offset})
        check(c.committed((topic, 0)), offset, "committed offset")
    c.close()


@case("offsets/commit-async")
def _(k):
    topic = filled(k, "async")
    c = assigned(k, topic, group=k.name("g-async"))
    take(c, 10)
    c.commit_async()
    deadline = time.monotonic() + 20
    while c.committed((topic, 0)) != 10:
        assert time.monotonic() < deadline, "the offset was not committed"
        c.poll(0.05)
    c.close()


@case("offsets/commit-on-close")
def _(k):
    topic, group = filled(k, "auto"), k.name("g-auto")
    c = k.consumer(group=group, auto_commit=True)
    c.subscribe([topic])
    take(c, 10)
    c.close()
    c = assigned(k, topic, group=group)
    check(c.committed((topic, 0)), 10, "committed offset")
    c.close()


@case("offsets/metadata")
def _(k):
    topic = filled(k, "meta")
    c = assigned(k, topic, group=k.name("g-meta"))
    c.commit_with_metadata((topic, 0), 5, "what I thought")
    check(c.committed_metadata((topic, 0)), "what I thought", "metadata")
    c.close()


@case("offsets/none-committed")
def _(k):
    topic = filled(k, "nocommit")
    c = assigned(k, topic, group=k.name("g-nocommit"))
    check(c.committed((topic, 0)), None, "committed offset")
    c.close()


@case("offsets/beginning-and-end")
def _(k):
    topic = filled(k, "ends")
    c = assigned(k, topic)
    check((c.beginning((topic, 0)), c.end((topic, 0))), (0, 10), "offsets")
    c.close()


@case("offsets/for-times")
def _(k):
    topic = k.topic("times")
    p = k.producer()
    for i in range(5):
        p.send(topic, b"%d" % i, partition=0, timestamp=1700000000000 + i * 1000)
        p.flush()
    p.close()
    c = assigned(k, topic)
    check([c.offset_for_time((topic, 0), 1700000000000 + d) for d in (-5000, 0, 1500, 4000)], [0, 0, 2, 4], "offsets")
    check(c.offset_for_time((topic, 0), 1700000009000), None, "offset for a later time")
    c.seek((topic, 0), c.offset_for_time((topic, 0), 1700000003000))
    check(drain(c, 2), [b"3", b"4"])
    c.close()


@case("offsets/end-of-committed-records")
def _(k):
    topic = filled(k, "lso")
    p = k.producer(txn=k.name("tx-lso"))
    p.init()
    p.begin()
    p.send(topic, b"open", partition=0)
    p.flush()
    c = assigned(k, topic, committed_only=True)
    check(c.end((topic, 0)), 10, "end of what is committed")
    p.commit()
    until(lambda: c.end((topic, 0)) == 12, "the end to move")
    c.close()
    p.close()


@case("errors/commit-for-unknown-topic")
def _(k):
    c = k.consumer(group=k.name("g-unknown"))
    c.assign([(k.name("missing"), 0)])
    refused(3, c.commit, {(k.name("missing"), 0): 1})
    c.close()
