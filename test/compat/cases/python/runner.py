"""Runs the cases of a Python client: what the case programs have in common.

A case is a function of the client's adapter. It returns, raises Skip where the client lacks what the case checks, or fails. Cases run side by side, for
most of their time is spent waiting for groups. Lines are printed in the order in which the cases are written."""
import concurrent.futures
import faulthandler
import os
import struct
import sys
import threading
import time
import traceback

CASES = []
LIMIT = 105  # seconds for all cases of a program, and three times that for a client that stalls


class Skip(Exception):
    """The client lacks what the case checks."""


class InVain(AssertionError):
    """What the case waited for did not come about."""


def case(name):
    """Registers a function of an adapter as the case FEATURE/NAME."""
    def register(body):
        CASES.append((name, body))
        return body
    return register


def lacks(what):
    raise Skip(f"the client has no {what}")


def check(got, want, what="value"):
    assert got == want, f"{what} is {got!r:.200}, want {want!r:.200}"


def until(condition, what, seconds=45):
    """Waits for a condition that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise InVain(f"waited in vain for {what}")
        time.sleep(0.02)


def murmur2(data):
    """The hash that Kafka's default partitioner takes of a key, made positive."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = struct.unpack_from("<I", data, i)[0] * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


class Member:
    """A consumer that is polled by a thread of its own, as a member of a group is."""

    def __init__(self, consumer):
        self.consumer, self.records, self.assigned, self.error = consumer, [], set(), None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()

    def poll(self):
        try:
            while not self.ending.is_set():
                self.records += self.consumer.poll(0.1)
                self.assigned = self.consumer.assignment()
        except Exception as e:  # what ends a member is what the case asks for
            self.error = e
        finally:
            self.consumer.close()

    def leave(self):
        self.ending.set()
        self.thread.join(30)


def outcome(name, body, client):
    try:
        if name in client.lacking:
            raise Skip(client.lacking[name])
        try:
            body(client)
        except InVain:
            if not client.stalls:
                raise
            traceback.print_exc()
            faulthandler.dump_traceback()  # where the members are
            client.begin_again()
            body(client)
        return "ok"
    except Skip as e:
        return f"skip {e}"
    except Exception as e:
        traceback.print_exc()
        text = str(e) or type(e).__name__
        return "fail " + " ".join(text.split())[:300]


def main(adapter):
    """Runs all cases with adapter(BOOTSTRAP, PREFIX); a third argument takes only the cases whose name holds it."""
    client = adapter(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "py")
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    wanted = [c for c in CASES if only in c[0]]
    pool = concurrent.futures.ThreadPoolExecutor(client.at_once)
    started, limit = time.monotonic(), LIMIT * (3 if client.stalls else 1)
    waiting = [(name, pool.submit(timed, name, body, client)) for name, body in wanted]
    for name, future in waiting:
        try:
            print("case", name, future.result(max(0.1, limit - (time.monotonic() - started))), flush=True)
        except concurrent.futures.TimeoutError:
            print("case", name, "fail not finished in time", flush=True)
    print("done", len(waiting), flush=True)
    os._exit(0)  # threads of a case that hangs must not hold the program


def timed(name, body, client):
    before = time.monotonic()
    client.attempt.suffix = ""
    result = outcome(name, body, client)
    print(f"{name}: {time.monotonic() - before:.1f} s, {result}", file=sys.stderr)
    return result
