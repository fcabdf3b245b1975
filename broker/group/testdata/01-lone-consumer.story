# A consumer starts. Its group does not exist; it is told to come back with a member id, so that a lost answer
# does not leave a dead member behind.

A: join g v4 client=app
----
  A <- MEMBER_ID_REQUIRED app-1

# It comes back. The group was empty, so the coordinator waits three seconds for others before it answers.

A: join g member=app-1 v4
describe: describe g
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member app-1 is new)
  describe <- PreparingRebalance consumer/-: app-1@c/h:

wait 3s
----
  after 3s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are app-1, leader app-1, members: app-1

# It is alone and the leader: it assigns everything to itself. The assignment is durable before the answer leaves.

hold
A: sync g member=app-1 gen=1 assign=app-1:t0t1
describe: describe g
durable
describe: describe g
release
----
      append g: generation 1 consumer/range leader app-1 [app-1:t0t1]
  describe <- CompletingRebalance consumer/-: app-1@c/h:
      durable
  A <- assigned "t0t1" by consumer/range
  describe <- Stable consumer/range: app-1@c/h:t0t1

# Heartbeats of the current generation are fine, others are not.

A: heartbeat g member=app-1 gen=1
A: heartbeat g member=app-1 gen=0
A: heartbeat g member=stranger gen=1
A: heartbeat other member=app-1 gen=1
----
  A <- ok
  A <- ILLEGAL_GENERATION
  A <- UNKNOWN_MEMBER_ID
  A <- UNKNOWN_MEMBER_ID

# It commits where it is, and an administrator looks.

A: commit g member=app-1 gen=1 t/0=10 t/1=20 epoch=3
admin: fetch g all
admin: describe g
admin: list
----
      append g/t-0: offset 10 epoch 3
      append g/t-1: offset 20 epoch 3
  A <- committed: ok ok
  admin <- offsets: t-0=10 epoch 3 t-1=20 epoch 3
  admin <- Stable consumer/range: app-1@c/h:t0t1
  admin <- groups: g(consumer Stable)

# It is killed. Its session ends after ten seconds without a heartbeat; the group is empty but remembers.

wait 30s
admin: describe g
admin: fetch g t/0 t/7
----
  after 10s:
      (member failed: group=g member=app-1 session timeout=10s)
      (group prepares to rebalance: group=g generation=1 state=Stable why=member app-1 did not send a heartbeat in time)
      (group is empty: group=g generation=2)
      append g: generation 2 consumer/ leader - []
  admin <- Empty consumer/-:
  admin <- offsets: t-0=10 epoch 3 t-7=-1
