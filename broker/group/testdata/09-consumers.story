# Groups of the consumer protocol: the coordinator assigns. The first member gets everything.

topic a 4
A: beat g member=m1 topics=a
----
      (member joins: group=g member=m1 instance=)
      (group has a new target: group=g epoch=2 members=1 assignor=uniform)
      append g: member m1 [a]
      append g: group epoch 2
      append g: target of m1 [a0 a1 a2 a3]
      append g: target epoch 2
      append g: state of m1 epoch 2 [a0 a1 a2 a3]
  A <- m1 epoch 2 [a0 a1 a2 a3]

# A second one: the target takes two partitions from the first, which hears of it with its next heartbeat. Until it no longer says
# that it owns them the other gets nothing.

B: beat g member=m2 topics=a
A: beat g member=m1 epoch=2
B: beat g member=m2 epoch=3
D: consumers g
----
      (member joins: group=g member=m2 instance=)
      (group has a new target: group=g epoch=3 members=2 assignor=uniform)
      append g: member m2 [a]
      append g: group epoch 3
      append g: target of m1 [a0 a1]
      append g: target of m2 [a2 a3]
      append g: target epoch 3
      append g: state of m2 epoch 3 [] waits for more
  B <- m2 epoch 3 []
      append g: state of m1 epoch 2 [a0 a1] gives up [a2 a3]
  A <- m1 epoch 2 [a0 a1]
  B <- m2 epoch 3
  D <- Reconciling epoch 3 target 3 uniform: m1@2[a0 a1]→[a0 a1] m2@3[]→[a2 a3]

A: beat g member=m1 epoch=2 owned=a0,a1
B: beat g member=m2 epoch=3
D: consumers g
----
      append g: state of m1 epoch 3 [a0 a1]
  A <- m1 epoch 3
      append g: state of m2 epoch 3 [a2 a3]
  B <- m2 epoch 3 [a2 a3]
  D <- Stable epoch 3 target 3 uniform: m1@3[a0 a1]→[a0 a1] m2@3[a2 a3]→[a2 a3]

# The answer that told m1 its new epoch may be lost: the one before is good as long as the member owns no more than it should. Others
# are fenced. A commit under the epoch before is good for what is held since then.

A: beat g member=m1 epoch=2 owned=a0,a1
A: beat g member=m1 epoch=2 owned=a0,a1,a2
A: beat g member=m1 epoch=4
A: beat g member=m9 epoch=4
A: commit g member=m1 gen=3 a/0=5 id=A
A: commit g member=m1 gen=2 a/0=6 id=A
B: commit g member=m2 gen=2 a/2=7 id=A
B: commit g member=m2 gen=4 a/2=7 id=A
X: commit g a/0=9 id=A
----
  A <- m1 epoch 3
  A <- FENCED_MEMBER_EPOCH: The consumer group member has a smaller member epoch (2) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.
  A <- FENCED_MEMBER_EPOCH: The consumer group member has a greater member epoch (4) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.
  A <- UNKNOWN_MEMBER_ID: Member m9 is not a member of group g.
      append g/a-0: offset 5 topic id A
  A <- committed: ok
      append g/a-0: offset 6 topic id A
  A <- committed: ok
  B <- committed: STALE_MEMBER_EPOCH
  B <- committed: STALE_MEMBER_EPOCH
  X <- committed: UNKNOWN_MEMBER_ID

# Topics grow, and are deleted.

topic a 6
A: beat g member=m1 epoch=3
B: beat g member=m2 epoch=3
topic a 0
A: beat g member=m1 epoch=4
B: beat g member=m2 epoch=4
A: beat g member=m1 epoch=4 owned=
B: beat g member=m2 epoch=4 owned=
D: consumers g
----
      (group has a new target: group=g epoch=4 members=2 assignor=uniform)
      append g: group epoch 4
      append g: target of m1 [a0 a1 a4]
      append g: target of m2 [a2 a3 a5]
      append g: target epoch 4
      append g: state of m1 epoch 4 [a0 a1 a4]
  A <- m1 epoch 4 [a0 a1 a4]
      append g: state of m2 epoch 4 [a2 a3 a5]
  B <- m2 epoch 4 [a2 a3 a5]
      (group has a new target: group=g epoch=5 members=2 assignor=uniform)
      append g: group epoch 5
      append g: target of m1 []
      append g: target of m2 []
      append g: target epoch 5
      append g: state of m1 epoch 4 [] gives up [a0 a1 a4]
  A <- m1 epoch 4 []
      append g: state of m2 epoch 4 [] gives up [a2 a3 a5]
  B <- m2 epoch 4 []
      append g: state of m1 epoch 5 []
  A <- m1 epoch 5
      append g: state of m2 epoch 5 []
  B <- m2 epoch 5
  D <- Stable epoch 5 target 5 uniform: m1@5[]→[] m2@5[]→[]

# Sessions: m2 says nothing any more.

topic b 2
A: beat g member=m1 epoch=5 topics=b
wait 40s
A: beat g member=m1 epoch=6
wait 10s
A: beat g member=m1 epoch=6
D: consumers g
----
      (group has a new target: group=g epoch=6 members=2 assignor=uniform)
      append g: member m1 [b]
      append g: group epoch 6
      append g: target of m1 [b0 b1]
      append g: target epoch 6
      append g: state of m1 epoch 6 [b0 b1]
  A <- m1 epoch 6 [b0 b1]
  A <- m1 epoch 6
  after 5s:
      (member failed: group=g member=m2 why=its session has expired)
      append g: state of m2 gone
      append g: target of m2 gone
      append g: member m2 gone
      append g: group epoch 7
      (group has a new target: group=g epoch=7 members=1 assignor=uniform)
      append g: target epoch 7
      append g: state of m1 epoch 7 [b0 b1]
  A <- m1 epoch 7
  D <- Stable epoch 7 target 7 uniform: m1@7[b0 b1]→[b0 b1]

# The coordinator is lost; the next one knows all that was answered.

crash
D: consumers g
A: beat g member=m1 epoch=7
A: beat g member=m1 epoch=-1
D: consumers g
L: list
G: delete-group g
D: consumers g
----
  D <- Stable epoch 7 target 7 uniform: m1@7[b0 b1]→[b0 b1]
  A <- m1 epoch 7
      (member leaves: group=g member=m1)
      append g: state of m1 gone
      append g: target of m1 gone
      append g: member m1 gone
      append g: group epoch 8
  A <- m1 epoch -1
  D <- Empty epoch 8 target 7 uniform:
  L <- groups: g(consumer Empty)
      append g/a-0: forgotten
      append g: target gone
      append g: group gone
  G <- ok
  D <- GROUP_ID_NOT_FOUND: Group g not found.
