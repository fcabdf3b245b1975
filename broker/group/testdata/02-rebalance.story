# Two consumers start within the initial delay: one round for both. The delay is extended as the second comes.

set delay=3s
A: join g client=a
wait 2s
B: join g client=b
wait 6s
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-1 is new)
  after 4s:
      (group has joined: group=g generation=1 members=2 protocol=range)
  A <- generation 1 consumer/range, you are a-1, leader a-1, members: a-1 b-2
  B <- generation 1 consumer/range, you are b-2, leader a-1

# B is quicker to sync and has to wait for the leader.

B: sync g member=b-2 gen=1
A: sync g member=a-1 gen=1 assign=a-1:t0,b-2:t1
----
      append g: generation 1 consumer/range leader a-1 [a-1:t0 b-2:t1]
  A <- assigned "t0" by consumer/range
  B <- assigned "t1" by consumer/range

# A third arrives: everybody has to join again. The others learn it from their heartbeats.

C: join g client=c
A: heartbeat g member=a-1 gen=1
A: commit g member=a-1 gen=1 t/0=5
A: join g member=a-1
B: heartbeat g member=b-2 gen=1
B: join g member=b-2
----
      (group prepares to rebalance: group=g generation=1 state=Stable why=member c-3 is new)
  A <- REBALANCE_IN_PROGRESS
      append g/t-0: offset 5
  A <- committed: ok
  B <- REBALANCE_IN_PROGRESS
      (group has joined: group=g generation=2 members=3 protocol=range)
  A <- generation 2 consumer/range, you are a-1, leader a-1, members: a-1 b-2 c-3
  B <- generation 2 consumer/range, you are b-2, leader a-1
  C <- generation 2 consumer/range, you are c-3, leader a-1

# The new generation. Those who sync or commit under the old one are told so.

A: sync g member=a-1 gen=1
A: sync g member=a-1 gen=2 assign=a-1:t0,b-2:t1
A: commit g member=a-1 gen=2 t/0=6
B: sync g member=b-2 gen=2
----
  A <- ILLEGAL_GENERATION
      append g: generation 2 consumer/range leader a-1 [a-1:t0 b-2:t1 c-3:]
  A <- assigned "t0" by consumer/range
      append g/t-0: offset 6
  A <- committed: ok
  B <- assigned "t1" by consumer/range

# The leader forgot C, which gets an empty assignment: it is a member all the same.

C: sync g member=c-3 gen=2
D: describe g
----
  C <- assigned "" by consumer/range
  D <- Stable consumer/range: a-1@a/h:t0 b-2@b/h:t1 c-3@c/h:

# B goes away in an orderly way, A and C rejoin; A does so late.

B: leave g member=b-2
C: join g member=c-3
wait 5s
A: join g member=a-1
C: sync g member=c-3 gen=3
A: sync g member=a-1 gen=3 assign=a-1:t0t1,c-3:t2
----
      (member leaves: group=g member=b-2 why=)
      (group prepares to rebalance: group=g generation=2 state=Stable why=members left)
  B <- left: ok
      (group has joined: group=g generation=3 members=2 protocol=range)
  A <- generation 3 consumer/range, you are a-1, leader a-1, members: a-1 c-3
  C <- generation 3 consumer/range, you are c-3, leader a-1
      append g: generation 3 consumer/range leader a-1 [a-1:t0t1 c-3:t2]
  A <- assigned "t0t1" by consumer/range
  C <- assigned "t2" by consumer/range

# C hangs while A asks for a rebalance, as leaders do when topics change. After C's session it is out.

A: join g member=a-1
wait 4s
A: heartbeat g member=a-1 gen=3
wait 30s
----
      (group prepares to rebalance: group=g generation=3 state=Stable why=leader a-1 joins again)
  A <- REBALANCE_IN_PROGRESS
  after 6s:
      (member failed: group=g member=c-3 session timeout=10s)
      (group has joined: group=g generation=4 members=1 protocol=range)
  A <- generation 4 consumer/range, you are a-1, leader a-1, members: a-1
  after 16s:
      (member failed: group=g member=a-1 session timeout=10s)
      (group prepares to rebalance: group=g generation=4 state=CompletingRebalance why=member a-1 did not send a heartbeat in time)
      (group is empty: group=g generation=5)
      append g: generation 5 consumer/ leader - []

# C wakes up and finds that it is not known any more.

C: join g member=c-3
C: sync g member=c-3 gen=3
C: commit g member=c-3 gen=3 t/2=1
C: leave g member=c-3
----
  C <- UNKNOWN_MEMBER_ID c-3
  C <- UNKNOWN_MEMBER_ID
  C <- committed: UNKNOWN_MEMBER_ID
  C <- left: UNKNOWN_MEMBER_ID

# Heartbeats do not make up for an assignment that is never sent: after the rebalance timeout those who did not sync are out.

E: join g client=e session=2m
wait 3s
E: heartbeat g member=e-4 gen=6
wait 59s
E: heartbeat g member=e-4 gen=6
wait 1s
D: describe g
----
      (group prepares to rebalance: group=g generation=5 state=Empty why=member e-4 is new)
  after 3s:
      (group has joined: group=g generation=6 members=1 protocol=range)
  E <- generation 6 consumer/range, you are e-4, leader e-4, members: e-4
  E <- ok
  E <- ok
  after 1s:
      (member did not sync in time: group=g member=e-4)
      (group prepares to rebalance: group=g generation=6 state=CompletingRebalance why=members did not sync in time)
      (group is empty: group=g generation=7)
      append g: generation 7 consumer/ leader - []
  D <- Empty consumer/-:
