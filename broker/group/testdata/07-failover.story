# A stable group with two members and offsets. The coordinator crashes; its successor loads the log.

set delay=0s
A: join g client=a
wait 0s
B: join g client=b
A: join g member=a-1
A: sync g member=a-1 gen=2 assign=a-1:t0,b-2:t1
B: sync g member=b-2 gen=2
A: commit g member=a-1 gen=2 t/0=10
crash
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are a-1, leader a-1, members: a-1
      (group prepares to rebalance: group=g generation=1 state=CompletingRebalance why=member b-2 is new)
      (group has joined: group=g generation=2 members=2 protocol=range)
  A <- generation 2 consumer/range, you are a-1, leader a-1, members: a-1 b-2
  B <- generation 2 consumer/range, you are b-2, leader a-1
      append g: generation 2 consumer/range leader a-1 [a-1:t0 b-2:t1]
  A <- assigned "t0" by consumer/range
  B <- assigned "t1" by consumer/range
      append g/t-0: offset 10
  A <- committed: ok

# Members notice nothing: same generation, same assignments. Their sessions start anew.

D: describe g
A: heartbeat g member=a-1 gen=2
B: sync g member=b-2 gen=2
A: commit g member=a-1 gen=2 t/0=11
wait 9s
A: heartbeat g member=a-1 gen=2
wait 1s
A: heartbeat g member=a-1 gen=2
----
  D <- Stable consumer/range: a-1@a/h:t0 b-2@b/h:t1
  A <- ok
  B <- assigned "t1" by consumer/range
      append g/t-0: offset 11
  A <- committed: ok
  A <- ok
  after 1s:
      (member failed: group=g member=b-2 session timeout=10s)
      (group prepares to rebalance: group=g generation=2 state=Stable why=member b-2 did not send a heartbeat in time)
  A <- REBALANCE_IN_PROGRESS

# A crash in the middle of a round: the round is void, the members find the last durable generation again and learn from the
# coordinator what to do. Sessions start anew, for the dead as well.

A: join g member=a-1
C: join g client=c
crash
A: heartbeat g member=a-1 gen=2
C: join g member=c-3
C: join g client=c
A: join g member=a-1
wait 10s
----
      (group has joined: group=g generation=3 members=1 protocol=range)
  A <- generation 3 consumer/range, you are a-1, leader a-1, members: a-1
      (group prepares to rebalance: group=g generation=3 state=CompletingRebalance why=member c-3 is new)
  A <- ok
  C <- UNKNOWN_MEMBER_ID c-3
      (group prepares to rebalance: group=g generation=2 state=Stable why=member c-4 is new)
  after 10s:
      (member failed: group=g member=b-2 session timeout=10s)
      (group has joined: group=g generation=3 members=2 protocol=range)
  A <- generation 3 consumer/range, you are a-1, leader a-1, members: a-1 c-4
  C <- generation 3 consumer/range, you are c-4, leader a-1

# A crash while the assignment is being appended, and it did not reach the log: nobody has been told anything, and the generation that
# is loaded is the last durable one.

hold
A: sync g member=a-1 gen=3 assign=a-1:t0,c-4:t1
crash
release
A: sync g member=a-1 gen=3 assign=a-1:t0,c-4:t1
D: describe g
----
      append g: generation 3 consumer/range leader a-1 [a-1:t0 c-4:t1]
  A <- ILLEGAL_GENERATION
  D <- Stable consumer/range: a-1@a/h:t0 b-2@b/h:t1

# Had the append reached the log, the successor would go on with it.

A: join g member=a-1
wait 10s
A: sync g member=a-1 gen=3 assign=a-1:all
crash
A: sync g member=a-1 gen=3
----
      (group prepares to rebalance: group=g generation=2 state=Stable why=leader a-1 joins again)
  after 10s:
      (member failed: group=g member=b-2 session timeout=10s)
      (group has joined: group=g generation=3 members=1 protocol=range)
  A <- generation 3 consumer/range, you are a-1, leader a-1, members: a-1
      append g: generation 3 consumer/range leader a-1 [a-1:all]
  A <- assigned "all" by consumer/range
  A <- assigned "all" by consumer/range

# A commit that was not durable is lost, and was not acknowledged.

hold
A: commit g member=a-1 gen=3 t/0=12
crash
release
A: fetch g stable t/0
----
      append g/t-0: offset 12
  A <- offsets: t-0=11

# A group that was loaded with more members than allowed now has to shrink: who comes back first stays.

B: join g client=b
A: join g member=a-1
A: sync g member=a-1 gen=4 assign=a-1:t0,b-5:t1
set size=1
crash
B: join g member=b-5
A: join g member=a-1
D: describe g
----
      (group prepares to rebalance: group=g generation=3 state=Stable why=member b-5 is new)
      (group has joined: group=g generation=4 members=2 protocol=range)
  A <- generation 4 consumer/range, you are a-1, leader a-1, members: a-1 b-5
  B <- generation 4 consumer/range, you are b-5, leader a-1
      append g: generation 4 consumer/range leader a-1 [a-1:t0 b-5:t1]
  A <- assigned "t0" by consumer/range
      (group prepares to rebalance: group=g generation=4 state=Stable why=loaded with 2 members, the limit is 1)
      (group has joined: group=g generation=5 members=1 protocol=range)
  A <- GROUP_MAX_SIZE_REACHED
  B <- generation 5 consumer/range, you are b-5, leader b-5, members: b-5
  D <- CompletingRebalance consumer/-: b-5@b/h:t1

# The last member's leave is answered when the empty group is durable: after a crash nobody waits for a member that has left.

set delay=0s
L: join last client=l
wait 0s
L: sync last member=l-6 gen=1 assign=l-6:t0
hold
L: leave last member=l-6
durable
release
crash
N: join last client=n
wait 0s
----
      (group prepares to rebalance: group=last generation=0 state=Empty why=member l-6 is new)
  after 0s:
      (group has joined: group=last generation=1 members=1 protocol=range)
  L <- generation 1 consumer/range, you are l-6, leader l-6, members: l-6
      append last: generation 1 consumer/range leader l-6 [l-6:t0]
  L <- assigned "t0" by consumer/range
      (member leaves: group=last member=l-6 why=)
      (group prepares to rebalance: group=last generation=1 state=Stable why=members left)
      (group is empty: group=last generation=2)
      append last: generation 2 consumer/ leader - []
      durable
  L <- left: ok
      (group prepares to rebalance: group=g generation=4 state=Stable why=loaded with 2 members, the limit is 1)
      (group prepares to rebalance: group=last generation=2 state=Empty why=member n-7 is new)
  after 0s:
      (group has joined: group=last generation=3 members=1 protocol=range)
  N <- generation 3 consumer/range, you are n-7, leader n-7, members: n-7
