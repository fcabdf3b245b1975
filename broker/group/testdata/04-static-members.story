# Static members carry an instance id; they need no round trip for a member id.

set delay=0s
A: join g instance=pod-a v4
wait 0s
B: join g instance=pod-b v4
A: join g member=pod-a-1 instance=pod-a
A: sync g member=pod-a-1 instance=pod-a gen=2 assign=pod-a-1:t0,pod-b-2:t1
B: sync g member=pod-b-2 instance=pod-b gen=2
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member pod-a-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are pod-a-1, leader pod-a-1, members: pod-a-1(pod-a)
      (group prepares to rebalance: group=g generation=1 state=CompletingRebalance why=member pod-b-2 is new)
      (group has joined: group=g generation=2 members=2 protocol=range)
  A <- generation 2 consumer/range, you are pod-a-1, leader pod-a-1, members: pod-a-1(pod-a) pod-b-2(pod-b)
  B <- generation 2 consumer/range, you are pod-b-2, leader pod-a-1
      append g: generation 2 consumer/range leader pod-a-1 [pod-a-1:t0 pod-b-2:t1]
  A <- assigned "t0" by consumer/range
  B <- assigned "t1" by consumer/range

# Pod B restarts. It comes without a member id, gets a new one and the old assignment; nobody else notices. The answer leaves when
# the new id is durable.

hold
B: join g instance=pod-b v9
durable
release
B: sync g member=pod-b-3 instance=pod-b gen=2
A: heartbeat g member=pod-a-1 instance=pod-a gen=2
----
      append g: generation 2 consumer/range leader pod-a-1 [pod-a-1:t0 pod-b-3:t1]
      durable
  B <- generation 2 consumer/range, you are pod-b-3, leader pod-a-1
  B <- assigned "t1" by consumer/range
  A <- ok

# The old incarnation of B, if it still lives, is fenced.

old B: heartbeat g member=pod-b-2 instance=pod-b gen=2
old B: commit g member=pod-b-2 instance=pod-b gen=2 t/1=5
old B: sync g member=pod-b-2 instance=pod-b gen=2
old B: join g member=pod-b-2 instance=pod-b
old B: leave g member=pod-b-2 instance=pod-b
old B: heartbeat g member=pod-b-2 gen=2
----
  old B <- FENCED_INSTANCE_ID
  old B <- committed: FENCED_INSTANCE_ID
  old B <- FENCED_INSTANCE_ID
  old B <- FENCED_INSTANCE_ID pod-b-2
  old B <- left: FENCED_INSTANCE_ID
  old B <- UNKNOWN_MEMBER_ID

# Pod A, the leader, restarts. From version 9 it is told to stay the leader and not to assign; before, it is kept from assigning by
# being told that the leader is its old self.

A: join g instance=pod-a v9
A: join g instance=pod-a
----
      append g: generation 2 consumer/range leader pod-a-4 [pod-a-4:t0 pod-b-3:t1]
  A <- generation 2 consumer/range, you are pod-a-4, leader pod-a-4, do not assign, members: pod-a-4(pod-a) pod-b-3(pod-b)
      append g: generation 2 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-3:t1]
  A <- generation 2 consumer/range, you are pod-a-5, leader pod-a-4

# With another subscription but the same protocol a static member still comes back in silence; a leader's rejoin with its id
# starts a rebalance as any leader's.

B: join g instance=pod-b protocols=range:t+u v9
A: join g member=pod-a-5 instance=pod-a
D: describe g
----
      append g: generation 2 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-6:t1]
  B <- generation 2 consumer/range, you are pod-b-6, leader pod-a-5
      (group prepares to rebalance: group=g generation=2 state=Stable why=leader pod-a-5 joins again)
  D <- PreparingRebalance consumer/-: pod-a-5@c/h:t0 pod-b-6@c/h:t1

# B restarts during the round: its parked join, if any, is fenced and the new one counts.

B: join g member=pod-b-6 instance=pod-b
A: sync g member=pod-a-5 instance=pod-a gen=3 assign=pod-a-5:t0
----
      (group has joined: group=g generation=3 members=2 protocol=range)
  A <- generation 3 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a) pod-b-6(pod-b)
  B <- generation 3 consumer/range, you are pod-b-6, leader pod-a-5
      append g: generation 3 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-6:]
  A <- assigned "t0" by consumer/range

# B restarts while the leader assigns: the leader knows the old id only, so there is a new round.

A: join g member=pod-a-5 instance=pod-a
B: join g member=pod-b-6 instance=pod-b
B: sync g member=pod-b-6 instance=pod-b gen=4
B: join g instance=pod-b
A: sync g member=pod-a-5 instance=pod-a gen=4 assign=pod-a-5:t0
A: join g member=pod-a-5 instance=pod-a
A: sync g member=pod-a-5 instance=pod-a gen=5 assign=pod-a-5:t0,pod-b-7:t1
----
      (group prepares to rebalance: group=g generation=3 state=Stable why=leader pod-a-5 joins again)
      (group has joined: group=g generation=4 members=2 protocol=range)
  A <- generation 4 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a) pod-b-6(pod-b)
  B <- generation 4 consumer/range, you are pod-b-6, leader pod-a-5
      (group prepares to rebalance: group=g generation=4 state=CompletingRebalance why=static member pod-b-7 is back)
  B <- FENCED_INSTANCE_ID
  A <- REBALANCE_IN_PROGRESS
      (group has joined: group=g generation=5 members=2 protocol=range)
  A <- generation 5 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a) pod-b-7(pod-b)
  B <- generation 5 consumer/range, you are pod-b-7, leader pod-a-5
      append g: generation 5 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-7:t1]
  A <- assigned "t0" by consumer/range

# A static member does not lose its place when it misses a round, as B does here, only when its session ends. The leader can assign
# to it meanwhile.

A: join g member=pod-a-5 instance=pod-a session=5m rebalance=20s
B: join g member=pod-b-7 instance=pod-b session=2m rebalance=20s
A: sync g member=pod-a-5 instance=pod-a gen=6 assign=pod-a-5:t0,pod-b-7:t1
B: sync g member=pod-b-7 instance=pod-b gen=6
A: join g member=pod-a-5 instance=pod-a session=5m rebalance=20s
wait 20s
A: sync g member=pod-a-5 instance=pod-a gen=7 assign=pod-a-5:t0,pod-b-7:t1
----
      (group prepares to rebalance: group=g generation=5 state=Stable why=leader pod-a-5 joins again)
      (group has joined: group=g generation=6 members=2 protocol=range)
  A <- generation 6 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a) pod-b-7(pod-b)
  B <- generation 6 consumer/range, you are pod-b-7, leader pod-a-5
      append g: generation 6 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-7:t1]
  A <- assigned "t0" by consumer/range
  B <- assigned "t1" by consumer/range
      (group prepares to rebalance: group=g generation=6 state=Stable why=leader pod-a-5 joins again)
  after 20s:
      (group has joined: group=g generation=7 members=2 protocol=range)
  A <- generation 7 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a) pod-b-7(pod-b)
      append g: generation 7 consumer/range leader pod-a-5 [pod-a-5:t0 pod-b-7:t1]
  A <- assigned "t0" by consumer/range

# It did not sync either; that costs it its place in the end.

wait 20s
D: describe g
A: join g member=pod-a-5 instance=pod-a session=5m rebalance=20s
----
  after 20s:
      (member did not sync in time: group=g member=pod-b-7)
      (group prepares to rebalance: group=g generation=7 state=Stable why=members did not sync in time)
  D <- PreparingRebalance consumer/-: pod-a-5@c/h:t0
      (group has joined: group=g generation=8 members=1 protocol=range)
  A <- generation 8 consumer/range, you are pod-a-5, leader pod-a-5, members: pod-a-5(pod-a)

# Administrators remove static members by instance id alone, several at once.

admin: leave g instances=pod-a,pod-z
admin: describe g
----
      (member leaves: group=g member=pod-a-5 why=)
      (group prepares to rebalance: group=g generation=8 state=CompletingRebalance why=members left)
      (group is empty: group=g generation=9)
      append g: generation 9 consumer/ leader - []
  admin <- left: ok UNKNOWN_MEMBER_ID
  admin <- Empty consumer/-:

# The name of an instance may be empty, as in Kafka, and names one member like any other.

A: join h instance= v4
wait 0s
A: sync h member=-8 instance= gen=1 assign=-8:t0
B: join h instance= v9
A: heartbeat h member=m instance= gen=1
A: leave h instances=x
A: leave h instance=
----
      (group prepares to rebalance: group=h generation=0 state=Empty why=member -8 is new)
  after 0s:
      (group has joined: group=h generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are -8, leader -8, members: -8()
      append h: generation 1 consumer/range leader -8 [-8:t0]
  A <- assigned "t0" by consumer/range
      append h: generation 1 consumer/range leader -9 [-9:t0]
  B <- generation 1 consumer/range, you are -9, leader -9, do not assign, members: -9()
  A <- FENCED_INSTANCE_ID
  A <- left: UNKNOWN_MEMBER_ID
      (member leaves: group=h member=-9 why=)
      (group prepares to rebalance: group=h generation=1 state=Stable why=members left)
      (group is empty: group=h generation=2)
      append h: generation 2 consumer/ leader - []
  A <- left: ok
