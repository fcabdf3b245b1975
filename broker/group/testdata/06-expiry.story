# Offsets of a simple group expire a week after their commit, and the group with the last of them.

A: commit s t/0=1
wait 96h
A: commit s t/1=2
wait 72h10m
A: fetch s all
wait 96h
admin: list
----
      append s/t-0: offset 1
  A <- committed: ok
      append s/t-1: offset 2
  A <- committed: ok
  after 72h0m0s:
      (offsets expire: group=s offsets=1)
      append s/t-0: forgotten
  A <- offsets: t-1=2
  after 95h50m0s:
      (group expires: group=s offsets=1)
      append s/t-1: forgotten
      append s: deleted
  admin <- groups:

# An old client may ask for its own retention.

A: commit s t/0=1 retention=1h
A: commit s t/1=2
wait 65m
A: fetch s all
----
      append s/t-0: offset 1 expires after 3600000ms
  A <- committed: ok
      append s/t-1: offset 2
  A <- committed: ok
  after 1h0m0s:
      (offsets expire: group=s offsets=1)
      append s/t-0: forgotten
  A <- offsets: t-1=2

# The clock of a group's offsets starts when the group becomes empty, however old they are.

set delay=0s
M: join g client=m session=30m
wait 0s
M: sync g member=m-1 gen=1 assign=m-1:t0
M: commit g member=m-1 gen=1 t/0=5 gone/0=6
wait 29m
M: heartbeat g member=m-1 gen=1
wait 29m
M: leave g member=m-1
wait 167h50m
A: fetch g t/0
wait 20m
A: fetch g t/0
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member m-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  M <- generation 1 consumer/range, you are m-1, leader m-1, members: m-1
      append g: generation 1 consumer/range leader m-1 [m-1:t0]
  M <- assigned "t0" by consumer/range
      append g/t-0: offset 5
      append g/gone-0: offset 6
  M <- committed: ok ok
  M <- ok
      (member leaves: group=g member=m-1 why=)
      (group prepares to rebalance: group=g generation=1 state=Stable why=members left)
      (group is empty: group=g generation=2)
      append g: generation 2 consumer/ leader - []
  M <- left: ok
  after 165h57m0s:
      (group expires: group=s offsets=1)
      append s/t-1: forgotten
      append s: deleted
  A <- offsets: t-0=5
  after 17m0s:
      (group expires: group=g offsets=2)
      append g/gone-0: forgotten
      append g/t-0: forgotten
      append g: deleted
  A <- offsets: t-0=-1

# While members are there, what they subscribe to does not expire; what they no longer subscribe to does.

M: join h client=m session=30m
wait 0s
M: sync h member=m-2 gen=1 assign=m-2:t0
M: commit h member=m-2 gen=1 t/0=5 gone/0=6
----
      (group prepares to rebalance: group=h generation=0 state=Empty why=member m-2 is new)
  after 0s:
      (group has joined: group=h generation=1 members=1 protocol=range)
  M <- generation 1 consumer/range, you are m-2, leader m-2, members: m-2
      append h: generation 1 consumer/range leader m-2 [m-2:t0]
  M <- assigned "t0" by consumer/range
      append h/t-0: offset 5
      append h/gone-0: offset 6
  M <- committed: ok ok

heartbeats 170h h m-2 1
A: fetch h all
----
  after 2m0s:
      (offsets expire: group=h offsets=1)
      append h/gone-0: forgotten
  A <- offsets: t-0=5
