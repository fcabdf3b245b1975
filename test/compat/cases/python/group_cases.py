"""Cases about groups with several members: the classic protocol, static members, KIP-848."""
import time

from data_cases import send_all, take
from read_cases import TEN, filled
from runner import Member, case, check, lacks, until


def member(k, topic, group, pattern=None, **conf):
    c = k.consumer(group=k.name(group), **conf)
    c.subscribe_pattern(pattern) if pattern else c.subscribe([topic])
    return Member(c)


def share(members, topic, partitions):
    """Waits until members have different partitions, as many as fit, that make up the topic."""
    def shared():
        for m in members:
            if m.error:
                raise m.error
        each = [len(m.assigned) for m in members]
        return set().union(*(m.assigned for m in members)) == {(topic, p) for p in range(partitions)} and sum(each) == partitions \
            and max(each) - min(each) <= 1
    until(shared, f"{len(members)} members to share {partitions} partitions")


def two_members(strategy, protocol="classic"):
    def body(k):
        if protocol == "consumer" and not k.consumer_protocol:
            lacks("KIP-848")
        if strategy and protocol == "classic" and strategy not in k.strategies:
            lacks(f"assignor {strategy}")
        name = f"two-{protocol}-{strategy}"
        topic = filled(k, name, 4)
        a = member(k, topic, name, strategy=strategy, protocol=protocol)
        share([a], topic, 4)
        b = member(k, topic, name, strategy=strategy, protocol=protocol)
        share([a, b], topic, 4)
        b.leave()
        share([a], topic, 4)
        until(lambda: len({(r.partition, r.offset) for r in a.records + b.records}) == 40, "all records")
        a.leave()
    return body


for strategy in ("range", "roundrobin", "sticky", "cooperative-sticky"):
    case(f"groups-classic/two-members-{strategy}")(two_members(strategy))
for assignor in ("uniform", "range"):
    case(f"groups-consumer/two-members-{assignor}")(two_members(assignor, "consumer"))


def protocols(name):
    """Registers a case for both protocols of groups."""
    def register(body):
        def classic(k):
            body(k, "classic")

        def consumer(k):
            if not k.consumer_protocol:
                lacks("KIP-848")
            body(k, "consumer")
        case(f"groups-classic/{name}")(classic)
        case(f"groups-consumer/{name}")(consumer)
        return body
    return register


@protocols("three-members-two-partitions")
def _(k, protocol):
    name = f"three-{protocol}"
    topic = filled(k, name, 2)
    members = [member(k, topic, name, protocol=protocol) for _ in range(3)]
    share(members, topic, 2)
    for m in members:
        m.leave()


@protocols("commit-and-resume")
def _(k, protocol):
    name = f"resume-{protocol}"
    topic = filled(k, name)
    for want in (TEN, [b"more"]):
        c = k.consumer(group=k.name(name), protocol=protocol)
        c.subscribe([topic])
        check([r.value for r in take(c, len(want))], want)
        c.commit()
        c.close()
        send_all(k, topic, [b"more"])


@protocols("pattern-finds-new-topics")
def _(k, protocol):
    name = f"patnew-{protocol}"
    filled(k, f"{name}-1")
    m = member(k, None, name, pattern="^" + k.name(name + "-.*"), protocol=protocol)
    until(lambda: len({(r.topic, r.offset) for r in m.records}) == 10, "records of the first topic")
    filled(k, f"{name}-2")
    until(lambda: len({(r.topic, r.offset) for r in m.records}) == 20, "records of the second topic")
    m.leave()


@protocols("new-partitions-are-assigned")
def _(k, protocol):
    name = f"grow-{protocol}"
    topic = filled(k, name, 2)
    m = member(k, topic, name, protocol=protocol)
    share([m], topic, 2)
    k.create_partitions(topic, 5)
    share([m], topic, 5)
    m.leave()


@protocols("group-is-described")
def _(k, protocol):
    name = f"described-{protocol}"
    topic = filled(k, name)
    m = member(k, topic, name, protocol=protocol)
    share([m], topic, 1)
    state, members, _ = k.describe_group(k.name(name))
    check((state, members), ("stable", 1))
    m.leave()
    until(lambda: k.describe_group(k.name(name))[:2] == ("empty", 0), "the group to be empty", 15)


@case("static-membership/keeps-its-partitions")
def _(k):
    if not k.static_members:
        lacks("static members")
    topic = filled(k, "static", 2)
    a = member(k, topic, "static", instance="a", session_ms=30000)
    b = member(k, topic, "static", instance="b", session_ms=30000)
    share([a, b], topic, 2)
    had, others = set(b.assigned), set(a.assigned)
    b.leave()
    time.sleep(1)
    check(set(a.assigned), others, "partitions of the one that stays")
    b = member(k, topic, "static", instance="b", session_ms=30000)
    until(lambda: b.assigned == had, "the member to get its partitions again", 15)
    check(set(a.assigned), others, "partitions of the one that stays")
    a.leave()
    b.leave()


@case("static-membership/same-instance-fences")
def _(k):
    if not k.static_members:
        lacks("static members")
    topic = filled(k, "fence", 1)
    old = member(k, topic, "fence", instance="x", session_ms=30000)
    share([old], topic, 1)
    new = member(k, topic, "fence", instance="x", session_ms=30000)
    until(lambda: old.error is not None, "the older member to be fenced")
    assert "fenced" in str(old.error).lower(), f"error {old.error}"
    share([new], topic, 1)
    new.leave()


@case("static-membership/described-and-removed")
def _(k):
    if not k.static_members:
        lacks("static members")
    topic = filled(k, "removed", 1)
    m = member(k, topic, "removed", instance="r", session_ms=30000)
    share([m], topic, 1)
    check(k.describe_group(k.name("removed")), ("stable", 1, ["r"]))
    m.leave()
    check(k.describe_group(k.name("removed"))[1:], (1, ["r"]))
    k.remove_member(k.name("removed"), "r")
    check(k.describe_group(k.name("removed")), ("empty", 0, []))
