# Protocols are chosen by votes: each member votes for the first on its list that all support.

set delay=0s
A: join g client=a protocols=sticky:t,range:t
wait 0s
B: join g client=b protocols=range:t,sticky:t,exotic:t
A: join g member=a-1 protocols=sticky:t,range:t
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=sticky)
  A <- generation 1 consumer/sticky, you are a-1, leader a-1, members: a-1
      (group prepares to rebalance: group=g generation=1 state=CompletingRebalance why=member b-2 is new)
      (group has joined: group=g generation=2 members=2 protocol=sticky)
  A <- generation 2 consumer/sticky, you are a-1, leader a-1, members: a-1 b-2
  B <- generation 2 consumer/sticky, you are b-2, leader a-1

# A member that shares no protocol with all, or is of another kind, is refused and does not disturb.

C: join g client=c protocols=exotic:t
C: join g client=c type=connect protocols=range:t
A: sync g member=a-1 gen=2 assign=a-1:0,b-2:1 protocol=range
A: sync g member=a-1 gen=2 assign=a-1:0,b-2:1 protocol=sticky
B: sync g member=b-2 gen=2
----
  C <- INCONSISTENT_GROUP_PROTOCOL
  C <- INCONSISTENT_GROUP_PROTOCOL
  A <- INCONSISTENT_GROUP_PROTOCOL
      append g: generation 2 consumer/sticky leader a-1 [a-1:0 b-2:1]
  A <- assigned "0" by consumer/sticky
  B <- assigned "1" by consumer/sticky

# A follower that joins again unchanged (it missed the answer) gets the same generation, without a rebalance.

B: join g member=b-2 protocols=range:t,sticky:t,exotic:t
----
  B <- generation 2 consumer/sticky, you are b-2, leader a-1

# With a new subscription it makes the group rebalance. C joins meanwhile, and the retry of its join replaces the first.

B: join g member=b-2 protocols=range:t+u,sticky:t+u
C: join g client=c protocols=range:t v4
C: join g member=c-3 protocols=range:t
C again: join g member=c-3 protocols=range:t
A: join g member=a-1 protocols=sticky:t,range:t
----
      (group prepares to rebalance: group=g generation=2 state=Stable why=member b-2 has changed its protocols)
  C <- MEMBER_ID_REQUIRED c-3
  C <- REBALANCE_IN_PROGRESS c-3
      (group has joined: group=g generation=3 members=3 protocol=range)
  A <- generation 3 consumer/range, you are a-1, leader a-1, members: a-1 b-2 c-3
  B <- generation 3 consumer/range, you are b-2, leader a-1
  C again <- generation 3 consumer/range, you are c-3, leader a-1

# While the new generation waits for its leader, a follower whose join answer was lost asks again and gets the same.

C: join g member=c-3 protocols=range:t
B: sync g member=b-2 gen=3
B again: sync g member=b-2 gen=3
----
  C <- generation 3 consumer/range, you are c-3, leader a-1
  B <- REBALANCE_IN_PROGRESS

# The leader A and the follower C crash before they sync. B's parked sync keeps B alive; when their sessions end a new round begins.

wait 11s
B: join g member=b-2 protocols=range:t
----
  after 10s:
      (member failed: group=g member=a-1 session timeout=10s)
      (group prepares to rebalance: group=g generation=3 state=CompletingRebalance why=member a-1 did not send a heartbeat in time)
      (member failed: group=g member=c-3 session timeout=10s)
  B again <- REBALANCE_IN_PROGRESS
      (group has joined: group=g generation=4 members=1 protocol=range)
  B <- generation 4 consumer/range, you are b-2, leader b-2, members: b-2

# The leader is now B. D comes.

D: join g client=d protocols=range:t session=2m
wait 0s
B: join g member=b-2 protocols=range:t session=2m rebalance=20s
----
      (group prepares to rebalance: group=g generation=4 state=CompletingRebalance why=member d-4 is new)
      (group has joined: group=g generation=5 members=2 protocol=range)
  B <- generation 5 consumer/range, you are b-2, leader b-2, members: b-2 d-4
  D <- generation 5 consumer/range, you are d-4, leader b-2

# D hangs for the longest rebalance timeout of the members; its session would be longer, but it is dropped from the round.

B: sync g member=b-2 gen=5 assign=b-2:0,d-4:1
D: sync g member=d-4 gen=5
B: join g member=b-2 protocols=range:t session=2m rebalance=20s
wait 19s
wait 1m
D: heartbeat g member=d-4 gen=5
----
      append g: generation 5 consumer/range leader b-2 [b-2:0 d-4:1]
  B <- assigned "0" by consumer/range
  D <- assigned "1" by consumer/range
      (group prepares to rebalance: group=g generation=5 state=Stable why=leader b-2 joins again)
  after 41s:
      (member did not rejoin in time: group=g member=d-4)
      (group has joined: group=g generation=6 members=1 protocol=range)
  B <- generation 6 consumer/range, you are b-2, leader b-2, members: b-2
  D <- UNKNOWN_MEMBER_ID

# A member id that was reserved and never used is waited for no longer than the session timeout.

B: sync g member=b-2 gen=6 assign=b-2:all
E: join g client=e protocols=range:t v4
B: join g member=b-2 protocols=range:t session=2m
wait 9s
wait 1s
----
      append g: generation 6 consumer/range leader b-2 [b-2:all]
  B <- assigned "all" by consumer/range
  E <- MEMBER_ID_REQUIRED e-5
      (group prepares to rebalance: group=g generation=6 state=Stable why=leader b-2 joins again)
  after 1s:
      (group has joined: group=g generation=7 members=1 protocol=range)
  B <- generation 7 consumer/range, you are b-2, leader b-2, members: b-2
