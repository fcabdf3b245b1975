# A group of at most two.

set size=2
set delay=0s
A: join g client=a
B: join g client=b
C: join g client=c
wait 0s
C: join g client=c
A: sync g member=a-1 gen=1 assign=a-1:0,b-2:1
C: join g client=c v4
D: describe g
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-1 is new)
  C <- GROUP_MAX_SIZE_REACHED
  after 0s:
      (group has joined: group=g generation=1 members=2 protocol=range)
  A <- generation 1 consumer/range, you are a-1, leader a-1, members: a-1 b-2
  B <- generation 1 consumer/range, you are b-2, leader a-1
  C <- GROUP_MAX_SIZE_REACHED
      append g: generation 1 consumer/range leader a-1 [a-1:0 b-2:1]
  A <- assigned "0" by consumer/range
  C <- GROUP_MAX_SIZE_REACHED
  D <- Stable consumer/range: a-1@a/h:0 b-2@b/h:1

# Session timeouts have bounds, group ids must not be empty.

A: join h session=5s
A: join h session=31m
A: join
A: sync
A: heartbeat
A: leave
----
  A <- INVALID_SESSION_TIMEOUT
  A <- INVALID_SESSION_TIMEOUT
  A <- INVALID_GROUP_ID
  A <- INVALID_GROUP_ID
  A <- INVALID_GROUP_ID
  A <- INVALID_GROUP_ID

# A new group needs a protocol type and a protocol; a refused join leaves no group behind.

A: join h type= protocols=range:t
A: join h protocols=
A: join h member=x
D: describe h
D: list
----
  A <- INCONSISTENT_GROUP_PROTOCOL
  A <- INCONSISTENT_GROUP_PROTOCOL
  A <- UNKNOWN_MEMBER_ID x
  D <- unknown group
  D <- groups: g(consumer Stable)

# A reserved id that is not used leaves no group behind either.

A: join h client=a v4
D: list
wait 10s
D: list states=empty
D: list states=stable,completingrebalance
----
  A <- MEMBER_ID_REQUIRED a-3
  D <- groups: g(consumer Stable) h(- Empty)
  after 10s:
      (member failed: group=g member=a-1 session timeout=10s)
      (group prepares to rebalance: group=g generation=1 state=Stable why=member a-1 did not send a heartbeat in time)
      (member failed: group=g member=b-2 session timeout=10s)
      (group is empty: group=g generation=2)
      append g: generation 2 consumer/ leader - []
  D <- groups: g(consumer Empty)
  D <- groups:

# Pending members may leave; strangers may not.

A: join h client=a v4
A: leave h members=a-4,b-9
A: leave nogroup members=a-4
----
  A <- MEMBER_ID_REQUIRED a-4
  A <- left: ok UNKNOWN_MEMBER_ID
  A <- left: UNKNOWN_MEMBER_ID

# Group metadata that does not fit into a batch is an error for everybody, not a hang.

set size=100
set batch=100
A: join i client=a
wait 0s
B: join i client=b
A: join i member=a-5
B: sync i member=b-6 gen=2
A: sync i member=a-5 gen=2 assign=a-5:0,b-6:1
D: describe i
set batch=1000
A: join i member=a-5
B: join i member=b-6
A: sync i member=a-5 gen=3 assign=a-5:0,b-6:1
----
      (group prepares to rebalance: group=i generation=0 state=Empty why=member a-5 is new)
  after 0s:
      (group has joined: group=i generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are a-5, leader a-5, members: a-5
      (group prepares to rebalance: group=i generation=1 state=CompletingRebalance why=member b-6 is new)
      (group has joined: group=i generation=2 members=2 protocol=range)
  A <- generation 2 consumer/range, you are a-5, leader a-5, members: a-5 b-6
  B <- generation 2 consumer/range, you are b-6, leader a-5
      (group metadata does not fit into a batch: group=i bytes=165 limit=100)
      (group prepares to rebalance: group=i generation=2 state=CompletingRebalance why=the assignment is too large to be stored)
  A <- UNKNOWN_SERVER_ERROR
  B <- UNKNOWN_SERVER_ERROR
  D <- PreparingRebalance consumer/-: a-5@a/h: b-6@b/h:
      (group has joined: group=i generation=3 members=2 protocol=range)
  A <- generation 3 consumer/range, you are a-5, leader a-5, members: a-5 b-6
  B <- generation 3 consumer/range, you are b-6, leader a-5
      append i: generation 3 consumer/range leader a-5 [a-5:0 b-6:1]
  A <- assigned "0" by consumer/range

# A rebalance timeout of nothing does not make the coordinator spin.

X: join z instance=x rebalance=0s session=6s
wait 0s
X: sync z member=x-7 instance=x gen=1
Y: join z instance=y rebalance=0s session=6s
wait 1s
D: describe z
----
      (group prepares to rebalance: group=z generation=0 state=Empty why=member x-7 is new)
  after 0s:
      (group has joined: group=z generation=1 members=1 protocol=range)
  X <- generation 1 consumer/range, you are x-7, leader x-7, members: x-7(x)
      append z: generation 1 consumer/range leader x-7 [x-7:]
  X <- assigned "" by consumer/range
      (group prepares to rebalance: group=z generation=1 state=Stable why=member y-8 is new)
  after 100ms:
      (group has joined: group=z generation=2 members=2 protocol=range)
  Y <- generation 2 consumer/range, you are y-8, leader y-8, members: x-7(x) y-8(y)
  after 200ms:
      (member did not sync in time: group=z member=x-7)
      (member did not sync in time: group=z member=y-8)
      (group prepares to rebalance: group=z generation=2 state=CompletingRebalance why=members did not sync in time)
      (group is empty: group=z generation=3)
      append z: generation 3 consumer/ leader - []
  D <- Empty consumer/-:
