"""Cases about records: producing, reading, codecs, keys, transactions, times, sizes."""
import time

from adapter import Refused
from runner import InVain, case, check, lacks, murmur2, until

WORDS = [f"value {i} ".encode() * 5 for i in range(300)]


def send_all(k, topic, values, keys=None, partition=0, **conf):
    p = k.producer(**conf)
    try:
        for i, v in enumerate(values):
            p.send(topic, v, key=keys[i] if keys else None, partition=partition)
        return p.flush()
    finally:
        p.close()


def read(k, topic, count, partitions=(0,), seconds=40, **conf):
    """Reads count records from the start of partitions."""
    c = k.consumer(**conf)
    try:
        c.assign([(topic, p) for p in partitions])
        for p in partitions:
            c.seek_to_beginning((topic, p))
        return take(c, count, seconds)
    finally:
        c.close()


def take(c, count, seconds=40):
    got, deadline = [], time.monotonic() + seconds
    while len(got) < count:
        if time.monotonic() > deadline:
            raise InVain(f"only {len(got)} of {count} records came")
        got += c.poll(0.2)
    return got


def values(records):
    return [r.value for r in records]


def refused(code, call, *args, **kwargs):
    """The call has to be refused with one of Kafka's error codes."""
    try:
        call(*args, **kwargs)
    except Refused as e:
        check(e.code, code, "error code")
        return
    raise AssertionError(f"not refused, want error {code}")


def acks(level):
    def body(k):
        topic = k.topic(f"acks{level}")
        sent = send_all(k, topic, WORDS, acks=level)
        if level != 0:
            check(sent, [(0, i) for i in range(len(WORDS))], "offsets")
        check(values(read(k, topic, len(WORDS))), WORDS)
    return body


for name, level in (("none", 0), ("leader", 1), ("all", -1)):
    case(f"produce/acks-{name}")(acks(level))


@case("produce/null-key")
def _(k):
    topic = k.topic("nullkey")
    send_all(k, topic, [b"v"])
    check([(r.key, r.value) for r in read(k, topic, 1)], [(None, b"v")])


@case("produce/null-value")
def _(k):
    topic = k.topic("nullvalue")
    send_all(k, topic, [None], keys=[b"k"])
    check([(r.key, r.value) for r in read(k, topic, 1)], [(b"k", None)])


@case("produce/empty-key-and-value")
def _(k):
    topic = k.topic("empty")
    send_all(k, topic, [b""], keys=[b""])
    check([(r.key, r.value) for r in read(k, topic, 1)], [(b"", b"")])


@case("produce/batch")
def _(k):
    topic = k.topic("batch")
    many = [str(i).encode() for i in range(5000)]
    check(send_all(k, topic, many, linger_ms=50), [(0, i) for i in range(5000)], "offsets")
    check(values(read(k, topic, 5000)), many)


@case("produce/one-by-one")
def _(k):
    topic = k.topic("onebyone")
    p = k.producer()
    for i in range(20):
        p.send(topic, str(i).encode(), partition=0)
        check(p.flush(), [(0, i)], "offset")
    p.close()


@case("produce/many-partitions")
def _(k):
    topic = k.topic("manyparts", 6)
    p = k.producer(linger_ms=20)
    for i in range(600):
        p.send(topic, str(i).encode(), partition=i % 6)
    check(sorted(p.flush()), sorted((i % 6, i // 6) for i in range(600)), "offsets")
    p.close()
    got = read(k, topic, 600, range(6))
    for n in range(6):
        check([int(r.value) for r in got if r.partition == n], list(range(n, 600, 6)))


@case("produce/two-producers")
def _(k):
    topic = k.topic("twoproducers")
    for n in range(2):
        send_all(k, topic, [b"%d-%d" % (n, i) for i in range(50)])
    check(values(read(k, topic, 100)), [b"%d-%d" % (n, i) for n in range(2) for i in range(50)])


def codec_case(codec):
    def body(k):
        if codec not in k.codecs:
            lacks(codec)
        topic = k.topic(f"codec-{codec}")
        send_all(k, topic, WORDS, keys=WORDS, codec=codec, linger_ms=50)
        got = read(k, topic, len(WORDS))
        check(values(got), WORDS)
        check([r.key for r in got], WORDS, "keys")
        check([r.offset for r in got], list(range(len(WORDS))), "offsets")
    return body


for codec in ("gzip", "snappy", "lz4", "zstd"):
    case(f"compression/{codec}")(codec_case(codec))


@case("compression/mixed-in-one-log")
def _(k):
    topic = k.topic("codecs")
    used = [None, *k.codecs]
    for codec in used:
        send_all(k, topic, WORDS, codec=codec, linger_ms=20)
    check(values(read(k, topic, len(WORDS) * len(used))), WORDS * len(used))


@case("compression/topic-codec")
def _(k):
    topic = k.topic("topiccodec", compression_type="gzip")
    send_all(k, topic, WORDS, linger_ms=20)
    check(values(read(k, topic, len(WORDS))), WORDS)


def header_case(headers):
    def body(k):
        topic = k.topic(f"headers{len(headers)}-{abs(hash(str(headers))) % 1000}")
        p = k.producer()
        p.send(topic, b"v", headers=headers, partition=0)
        p.flush()
        p.close()
        check(read(k, topic, 1)[0].headers, headers, "headers")
    return body


for name, headers in (("round-trip", [("a", b"1"), ("b", b"2")]), ("null-value", [("n", None)]), ("empty-value", [("e", b"")]),
                      ("duplicates-keep-order", [("d", b"2"), ("x", b"0"), ("d", b"1")]), ("unicode-key", [("schlüssel→", b"v")]),
                      ("none", []), ("large", [("big", b"x" * 50000)]), ("many", [(f"h{i}", b"%d" % i) for i in range(200)])):
    case(f"headers/{name}")(header_case(headers))


@case("keys-partitioning/murmur2")
def _(k):
    topic = k.topic("murmur", 7)
    keys = [f"key-{i}".encode() * (i % 5 + 1) for i in range(200)]
    send_all(k, topic, keys, keys=keys, partition=None)
    for r in read(k, topic, 200, range(7)):
        check(r.partition, murmur2(r.key) % 7, f"partition of {r.key}")


@case("keys-partitioning/order-within-key")
def _(k):
    topic = k.topic("keyorder", 3)
    keys = [b"k%d" % (i % 10) for i in range(500)]
    send_all(k, topic, [b"%d" % i for i in range(500)], keys=keys, partition=None)
    got = read(k, topic, 500, range(3))
    for key in set(keys):
        check([int(r.value) for r in got if r.key == key], [i for i in range(500) if keys[i] == key])


@case("keys-partitioning/explicit-partition")
def _(k):
    topic = k.topic("explicit", 3)
    send_all(k, topic, [b"v"] * 10, keys=[b"k"] * 10, partition=2)
    check({r.partition for r in read(k, topic, 10, range(3))}, {2}, "partitions")


@case("idempotence/order")
def _(k):
    topic = k.topic("idem", 2)
    p = k.producer(idempotent=True, linger_ms=2)
    for i in range(4000):
        p.send(topic, b"%d" % i, partition=i % 2)
    p.flush()
    p.close()
    got = read(k, topic, 4000, range(2))
    for n in range(2):
        check([int(r.value) for r in got if r.partition == n], list(range(n, 4000, 2)))


@case("idempotence/two-producers-one-partition")
def _(k):
    topic = k.topic("idem2")
    a, b = k.producer(idempotent=True), k.producer(idempotent=True)
    for i in range(20):
        p = (a, b)[i % 2]
        p.send(topic, b"%d" % i, partition=0)
        check(p.flush(), [(0, i)], "offset")
    a.close()
    b.close()
    check([int(v) for v in values(read(k, topic, 20))], list(range(20)))


def transaction(k, name, topic, records, end="commit", partition=0):
    p = k.producer(txn=k.name(name))
    p.init()
    p.begin()
    for v in records:
        p.send(topic, v, partition=partition)
    p.flush()
    if end:
        getattr(p, end)()
    return p


@case("transactions/commit")
def _(k):
    topic = k.topic("txcommit")
    transaction(k, "tx-commit", topic, WORDS).close()
    check(values(read(k, topic, len(WORDS), committed_only=True)), WORDS)


@case("transactions/abort")
def _(k):
    topic = k.topic("txabort")
    transaction(k, "tx-abort", topic, WORDS, "abort").close()
    send_all(k, topic, [b"after"])
    check(values(read(k, topic, 1, committed_only=True)), [b"after"])


@case("transactions/read-uncommitted-sees-aborted")
def _(k):
    topic = k.topic("txuncommitted")
    transaction(k, "tx-uncommitted", topic, [b"a", b"b"], "abort").close()
    check(values(read(k, topic, 2)), [b"a", b"b"])


@case("transactions/several-in-a-row")
def _(k):
    topic = k.topic("txrow", 2)
    p = k.producer(txn=k.name("tx-row"))
    p.init()
    for i in range(6):
        p.begin()
        for n in range(2):
            p.send(topic, b"%d" % i, partition=n)
        p.flush()
        p.abort() if i % 3 == 2 else p.commit()
    p.close()
    got = read(k, topic, 8, range(2), committed_only=True)
    for n in range(2):
        check([int(r.value) for r in got if r.partition == n], [0, 1, 3, 4])


@case("transactions/marker-takes-an-offset")
def _(k):
    topic = k.topic("txmarker")
    transaction(k, "tx-marker", topic, [b"a", b"b"]).close()
    c = k.consumer()
    until(lambda: c.end((topic, 0)) == 3, "the marker")
    c.close()
    check(send_all(k, topic, [b"c"]), [(0, 3)], "offset")


@case("transactions/empty")
def _(k):
    p = k.producer(txn=k.name("tx-empty"))
    p.init()
    for end in ("commit", "abort", "commit"):
        p.begin()
        getattr(p, end)()
    p.close()


@case("transactions/fencing")
def _(k):
    topic = k.topic("txfence")
    old = transaction(k, "tx-fence", topic, [b"old"], end=None)
    new = transaction(k, "tx-fence", topic, [b"new"])
    try:
        old.commit()
    except Refused as e:
        assert e.code in (47, 90, -144), f"error code is {e.code}"  # fenced, by the names the versions of the protocol have for it
    else:
        raise AssertionError("the older producer could commit")
    new.close()
    check(values(read(k, topic, 1, committed_only=True)), [b"new"])


@case("transactions/open-one-holds-readers-back")
def _(k):
    topic = k.topic("txopen")
    send_all(k, topic, [b"before"])
    p = transaction(k, "tx-open", topic, [b"inside"], end=None)
    c = k.consumer(committed_only=True)
    c.assign([(topic, 0)])
    c.seek_to_beginning((topic, 0))
    check(values(take(c, 1)), [b"before"])
    check(c.poll(1), [], "records before the end of the transaction")
    p.commit()
    check(values(take(c, 1)), [b"inside"])
    c.close()
    p.close()


@case("transactions/send-offsets")
def _(k):
    source, sink, group = k.topic("txsource"), k.topic("txsink"), k.name("tx-group")
    send_all(k, source, [b"%d" % i for i in range(10)])
    for end, committed in (("abort", None), ("commit", 10)):
        c = k.consumer(group=group)
        c.subscribe([source])
        got = take(c, 10)
        p = k.producer(txn=k.name("tx-offsets"))
        p.init()
        p.begin()
        for r in got:
            p.send(sink, r.value, partition=0)
        p.flush()
        p.send_offsets({(source, 0): 10}, c)
        getattr(p, end)()
        until(lambda: c.committed((source, 0)) == committed, f"offset {committed} after {end}", 20)
        p.close()
        c.close()
    check(values(read(k, sink, 10, committed_only=True)), [b"%d" % i for i in range(10)])


@case("timestamps/create-time")
def _(k):
    topic = k.topic("createtime")
    p = k.producer()
    for i in range(3):
        p.send(topic, b"v", partition=0, timestamp=1700000000000 + i)
    p.flush()
    p.close()
    check([(r.timestamp, r.timestamp_type) for r in read(k, topic, 3)], [(1700000000000 + i, 0) for i in range(3)])


@case("timestamps/log-append-time")
def _(k):
    topic = k.topic("appendtime", message_timestamp_type="LogAppendTime")
    p = k.producer()
    before = int(time.time() * 1000)
    p.send(topic, b"v", partition=0, timestamp=1700000000000)
    p.flush()
    p.close()
    r = read(k, topic, 1)[0]
    check(r.timestamp_type, 1, "timestamp type")
    assert before - 5000 <= r.timestamp <= time.time() * 1000 + 5000, f"timestamp is {r.timestamp}"


@case("timestamps/default-is-now")
def _(k):
    topic = k.topic("nowtime")
    before = int(time.time() * 1000)
    send_all(k, topic, [b"v"])
    assert before - 5000 <= read(k, topic, 1)[0].timestamp <= time.time() * 1000 + 5000


@case("large-messages/one-of-900kB")
def _(k):
    topic = k.topic("large")
    send_all(k, topic, [b"x" * 900_000])
    check(len(read(k, topic, 1)[0].value), 900_000, "length")


@case("large-messages/one-of-4MB")
def _(k):
    topic = k.topic("larger", max_message_bytes=5_000_000)
    send_all(k, topic, [b"y" * 4_000_000], request_max=5_000_000)
    check(len(read(k, topic, 1)[0].value), 4_000_000, "length")


@case("large-messages/larger-than-the-fetch")
def _(k):
    topic = k.topic("largefetch")
    send_all(k, topic, [bytes([65 + i]) * 300_000 for i in range(4)])
    got = read(k, topic, 4, fetch_bytes=1000)
    check([(r.value[:1], len(r.value)) for r in got], [(bytes([65 + i]), 300_000) for i in range(4)])


@case("errors/record-too-large")
def _(k):
    topic = k.topic("toolarge", max_message_bytes=2000)
    refused(10, send_all, k, topic, [b"z" * 5000])
    check(send_all(k, topic, [b"z" * 500]), [(0, 0)], "offset of the next record")
