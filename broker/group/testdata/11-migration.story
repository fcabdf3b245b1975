# A classic group. A member of the consumer protocol joins, and the group becomes one of that protocol: what the classic members have
# been assigned is what they hold.

topic a 4
A: join g client=a protocols=range:a
wait 4s
A: sync g member=a-1 gen=1 assign=a-1:@a0+a1+a2+a3
A: commit g member=a-1 gen=1 a/0=5
C: beat g member=m1 topics=a
L: list
D: consumers g
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-1 is new)
  after 3s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are a-1, leader a-1, members: a-1
      append g: generation 1 consumer/range leader a-1 [a-1:[a0 a1 a2 a3]]
  A <- assigned [a0 a1 a2 a3] by consumer/range
      append g/a-0: offset 5
  A <- committed: ok
      (group changes to the consumer protocol: group=g members=1)
      (member joins: group=g member=m1 instance=)
      (group has a new target: group=g epoch=2 members=2 assignor=uniform)
      append g: deleted
      append g: member a-1 [a] classic
      append g: group epoch 1
      append g: target of a-1 [a0 a1 a2 a3]
      append g: target epoch 1
      append g: state of a-1 epoch 1 [a0 a1 a2 a3]
      append g: member m1 [a]
      append g: group epoch 2
      append g: target of a-1 [a0 a1]
      append g: target of m1 [a2 a3]
      append g: target epoch 2
      append g: state of m1 epoch 2 [] waits for more
  C <- m1 epoch 2 []
  L <- groups: g(consumer Reconciling)
  D <- Reconciling epoch 2 target 2 uniform: a-1@1[a0 a1 a2 a3]→[a0 a1] m1@2[]→[a2 a3]

# The classic member learns that it has to join, gives up, and gets its share with the next SyncGroup; it waits for nobody.

A: heartbeat g member=a-1 gen=1
A: join g member=a-1 protocols=range:a
C: beat g member=m1 epoch=2
A: sync g member=a-1 gen=2
C: beat g member=m1 epoch=2
A: heartbeat g member=a-1 gen=2
A: heartbeat g member=a-1 gen=1
A: commit g member=a-1 gen=2 a/0=6
A: commit g member=a-1 gen=1 a/0=7
F: fetch g all
F: fetch g all member=a-1 epoch=1
----
  A <- REBALANCE_IN_PROGRESS
      append g: member a-1 [a] classic
      append g: state of a-1 epoch 2 [a0 a1]
  A <- generation 2 consumer/range, you are a-1, leader 
      append g: state of m1 epoch 2 [a2 a3]
  C <- m1 epoch 2 [a2 a3]
  A <- assigned [a0 a1] by consumer/range
  C <- m1 epoch 2
  A <- ok
  A <- ILLEGAL_GENERATION
      append g/a-0: offset 6
  A <- committed: ok
  A <- committed: ILLEGAL_GENERATION
  F <- offsets: a-0=6
  F <- ILLEGAL_GENERATION

# A second classic member; it has to know its id, and to support what the other does.

B: join g client=b v4 protocols=range:a
B: join g client=b member=b-2 v4 protocols=sticky:a
B: join g client=b member=b-2 v4 protocols=range:a
B: sync g member=b-2 gen=3
A: heartbeat g member=a-1 gen=2
A: join g member=a-1 protocols=range:a
A: sync g member=a-1 gen=3
C: beat g member=m1 epoch=2
C: beat g member=m1 epoch=2 owned=a2
B: heartbeat g member=b-2 gen=3
----
  B <- MEMBER_ID_REQUIRED b-2
  B <- INCONSISTENT_GROUP_PROTOCOL
      (group has a new target: group=g epoch=3 members=3 assignor=uniform)
      append g: member b-2 [a] classic
      append g: group epoch 3
      append g: target of b-2 [a3]
      append g: target of m1 [a2]
      append g: target epoch 3
      append g: state of b-2 epoch 3 [] waits for more
  B <- generation 3 consumer/range, you are b-2, leader 
  B <- assigned [] by consumer/range
  A <- REBALANCE_IN_PROGRESS
      append g: state of a-1 epoch 3 [a0 a1]
  A <- generation 3 consumer/range, you are a-1, leader 
  A <- assigned [a0 a1] by consumer/range
      append g: state of m1 epoch 2 [a2] gives up [a3]
  C <- m1 epoch 2 [a2]
      append g: state of m1 epoch 3 [a2]
  C <- m1 epoch 3
  B <- REBALANCE_IN_PROGRESS

# The last member of the consumer protocol leaves: a classic group again, which rebalances.

C: beat g member=m1 epoch=-1
L: list
A: heartbeat g member=a-1 gen=3
A: join g member=a-1 protocols=range:a
B: join g member=b-2 protocols=range:a
A: sync g member=a-1 gen=4 assign=a-1:@a0+a1,b-2:@a2+a3
B: sync g member=b-2 gen=4
crash
F: fetch g all
A: heartbeat g member=a-1 gen=4
----
      (member leaves: group=g member=m1)
      (group changes to the classic protocol: group=g members=2)
      (group prepares to rebalance: group=g generation=3 state=Stable why=the last member of the consumer protocol is gone)
      append g: state of m1 gone
      append g: target of m1 gone
      append g: member m1 gone
      append g: state of a-1 gone
      append g: state of b-2 gone
      append g: target of a-1 gone
      append g: target of b-2 gone
      append g: member a-1 gone
      append g: member b-2 gone
      append g: target gone
      append g: group gone
      append g: generation 3 consumer/range leader a-1 [a-1:[a0 a1] b-2:[]]
  C <- m1 epoch -1
  L <- groups: g(consumer PreparingRebalance)
  A <- REBALANCE_IN_PROGRESS
      (group has joined: group=g generation=4 members=2 protocol=range)
  A <- generation 4 consumer/range, you are a-1, leader a-1, members: a-1 b-2
  B <- generation 4 consumer/range, you are b-2, leader a-1
      append g: generation 4 consumer/range leader a-1 [a-1:[a0 a1] b-2:[a2 a3]]
  A <- assigned [a0 a1] by consumer/range
  B <- assigned [a2 a3] by consumer/range
  F <- offsets: a-0=6
  A <- ok

# By policy a group stays what it is.

set migration=disabled
crash
C: beat g member=m1 topics=a
L: leave g members=a-1,b-2
C: beat g member=m1 topics=a
C: beat g member=m1 epoch=-1
A: join g client=a protocols=range:a
wait 4s
----
  C <- GROUP_ID_NOT_FOUND: Cannot upgrade classic group g to consumer group because online upgrade is disabled.
      (member leaves: group=g member=a-1 why=)
      (member leaves: group=g member=b-2 why=)
      (group prepares to rebalance: group=g generation=4 state=Stable why=members left)
      (group is empty: group=g generation=5)
      append g: generation 5 consumer/ leader - []
  L <- left: ok ok
      (member joins: group=g member=m1 instance=)
      (group has a new target: group=g epoch=2 members=1 assignor=uniform)
      append g: deleted
      append g: member m1 [a]
      append g: group epoch 2
      append g: target of m1 [a0 a1 a2 a3]
      append g: target epoch 2
      append g: state of m1 epoch 2 [a0 a1 a2 a3]
  C <- m1 epoch 2 [a0 a1 a2 a3]
      (member leaves: group=g member=m1)
      append g: state of m1 gone
      append g: target of m1 gone
      append g: member m1 gone
      append g: group epoch 3
  C <- m1 epoch -1
      (group prepares to rebalance: group=g generation=0 state=Empty why=member a-3 is new)
      append g: target gone
      append g: group gone
  after 3s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are a-3, leader a-3, members: a-3

# Nor does a classic member join a group of the consumer protocol then: not one that is new, and not in the place of another.

L: leave g members=a-3
C: beat g member=m1 instance=i topics=a
A: join g client=a protocols=range:a
A: join g client=a v4 protocols=range:a
A: join g client=a instance=i protocols=range:a
A: join g client=a instance=j protocols=range:a
L: list
----
      (member leaves: group=g member=a-3 why=)
      (group prepares to rebalance: group=g generation=1 state=CompletingRebalance why=members left)
      (group is empty: group=g generation=2)
      append g: generation 2 consumer/ leader - []
  L <- left: ok
      (member joins: group=g member=m1 instance=i)
      (group has a new target: group=g epoch=2 members=1 assignor=uniform)
      append g: deleted
      append g: member m1 [a]
      append g: group epoch 2
      append g: target of m1 [a0 a1 a2 a3]
      append g: target epoch 2
      append g: state of m1 epoch 2 [a0 a1 a2 a3]
  C <- m1 epoch 2 [a0 a1 a2 a3]
  A <- INCONSISTENT_GROUP_PROTOCOL
  A <- INCONSISTENT_GROUP_PROTOCOL
  A <- INCONSISTENT_GROUP_PROTOCOL
  A <- INCONSISTENT_GROUP_PROTOCOL
  L <- groups: g(consumer Stable)

# While the group has moved on and its target waits for the assignment interval, there is nothing for classic members to join for. When it
# has passed, the heartbeat of a classic member computes the target as well as that of another.

set migration=bidirectional
set interval=2s
crash
C: beat g member=m1 instance=i epoch=-1
A: join h client=a protocols=range:a
wait 4s
A: sync h member=a-4 gen=1 assign=a-4:@a0+a1+a2+a3
C: beat h member=m1 topics=a
A: heartbeat h member=a-4 gen=1
A: join h member=a-4 protocols=range:a
A: sync h member=a-4 gen=2
C: beat h member=m2 topics=a
A: heartbeat h member=a-4 gen=2
A: sync h member=a-4 gen=2
wait 2s
A: heartbeat h member=a-4 gen=2
A: sync h member=a-4 gen=2
A: join h member=a-4 protocols=range:a
----
      (member leaves: group=g member=m1)
      append g: state of m1 gone
      append g: target of m1 gone
      append g: member m1 gone
      append g: group epoch 3
  C <- m1 epoch -1
      (group prepares to rebalance: group=h generation=0 state=Empty why=member a-4 is new)
  after 3s:
      (group has joined: group=h generation=1 members=1 protocol=range)
  A <- generation 1 consumer/range, you are a-4, leader a-4, members: a-4
      append h: generation 1 consumer/range leader a-4 [a-4:[a0 a1 a2 a3]]
  A <- assigned [a0 a1 a2 a3] by consumer/range
      (group changes to the consumer protocol: group=h members=1)
      (member joins: group=h member=m1 instance=)
      (group has a new target: group=h epoch=2 members=2 assignor=uniform)
      append h: deleted
      append h: member a-4 [a] classic
      append h: group epoch 1
      append h: target of a-4 [a0 a1 a2 a3]
      append h: target epoch 1
      append h: state of a-4 epoch 1 [a0 a1 a2 a3]
      append h: member m1 [a]
      append h: group epoch 2
      append h: target of a-4 [a0 a1]
      append h: target of m1 [a2 a3]
      append h: target epoch 2
      append h: state of m1 epoch 2 [] waits for more
  C <- m1 epoch 2 []
  A <- REBALANCE_IN_PROGRESS
      append h: member a-4 [a] classic
      append h: state of a-4 epoch 2 [a0 a1]
  A <- generation 2 consumer/range, you are a-4, leader 
  A <- assigned [a0 a1] by consumer/range
      (member joins: group=h member=m2 instance=)
      append h: member m2 [a]
      append h: group epoch 3
      append h: state of m2 epoch 2 []
  C <- m2 epoch 2 []
  A <- ok
  A <- assigned [a0 a1] by consumer/range
      (group has a new target: group=h epoch=3 members=3 assignor=uniform)
      append h: target of m1 [a2]
      append h: target of m2 [a3]
      append h: target epoch 3
  A <- REBALANCE_IN_PROGRESS
  A <- REBALANCE_IN_PROGRESS
      append h: state of a-4 epoch 3 [a0 a1]
  A <- generation 3 consumer/range, you are a-4, leader 
