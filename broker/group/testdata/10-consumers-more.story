# Answers wait until what they say is durable, even those that need no record of their own.

topic a 2
hold
A: beat g member=m1 topics=a
A: beat g member=m1 epoch=2
durable 1
release
----
      (member joins: group=g member=m1 instance=)
      (group has a new target: group=g epoch=2 members=1 assignor=uniform)
      append g: member m1 [a]
      append g: group epoch 2
      append g: target of m1 [a0 a1]
      append g: target epoch 2
      append g: state of m1 epoch 2 [a0 a1]
      durable
  A <- m1 epoch 2 [a0 a1]
  A <- m1 epoch 2

# A member that does not give up what it has to is taken out when its rebalance timeout has passed.

B: beat g member=m2 topics=a
A: beat g member=m1 epoch=2
wait 19s
A: beat g member=m1 epoch=2 owned=a0,a1
wait 2s
A: beat g member=m1 epoch=2
B: beat g member=m2 epoch=3
----
      (member joins: group=g member=m2 instance=)
      (group has a new target: group=g epoch=3 members=2 assignor=uniform)
      append g: member m2 [a]
      append g: group epoch 3
      append g: target of m1 [a0]
      append g: target of m2 [a1]
      append g: target epoch 3
      append g: state of m2 epoch 3 [] waits for more
  B <- m2 epoch 3 []
      append g: state of m1 epoch 2 [a0] gives up [a1]
  A <- m1 epoch 2 [a0]
  A <- m1 epoch 2
  after 1s:
      (member failed: group=g member=m1 why=it did not give up its partitions in time)
      append g: state of m1 gone
      append g: target of m1 gone
      append g: member m1 gone
      append g: group epoch 4
  A <- UNKNOWN_MEMBER_ID: Member m1 is not a member of group g.
      (group has a new target: group=g epoch=4 members=1 assignor=uniform)
      append g: target of m2 [a0 a1]
      append g: target epoch 4
      append g: state of m2 epoch 4 [a0 a1]
  B <- m2 epoch 4 [a0 a1]

# Static members: the place of one that leaves for a while is kept, and given to whoever comes with its instance id. As long as it is
# there nobody else may.

S: beat s member=s1 instance=i topics=a
T: beat s member=s2 instance=i topics=a
S: beat s member=s1 instance=i epoch=-2
S: beat s member=s1 instance=i epoch=2
T: beat s member=s2 instance=i topics=a
S: beat s member=s1 instance=i epoch=2
T: beat s member=s2 epoch=2
wait 46s
D: consumers s
----
      (member joins: group=s member=s1 instance=i)
      (group has a new target: group=s epoch=2 members=1 assignor=uniform)
      append s: member s1 [a]
      append s: group epoch 2
      append s: target of s1 [a0 a1]
      append s: target epoch 2
      append s: state of s1 epoch 2 [a0 a1]
  S <- s1 epoch 2 [a0 a1]
  T <- UNRELEASED_INSTANCE_ID: Static member s2 with instance id i cannot join the group because the instance id is owned by s1 member.
      (static member leaves for a while: group=s member=s1)
      append s: state of s1 epoch -2 [a0 a1]
  S <- s1 epoch -2
  S <- FENCED_MEMBER_EPOCH: The consumer group member has a greater member epoch (2) than the one known by the group coordinator (-2). The member must abandon all its partitions and rejoin.
      (member joins: group=s member=s2 instance=i)
      append s: state of s1 gone
      append s: target of s1 gone
      append s: member s1 gone
      append s: member s2 [a]
      append s: target of s2 [a0 a1]
      append s: state of s2 epoch 0 [a0 a1]
      append s: state of s2 epoch 2 [a0 a1]
  T <- s2 epoch 2 [a0 a1]
  S <- FENCED_INSTANCE_ID: Static member s1 with instance id i was fenced by member s2.
  T <- s2 epoch 2
  after 45s:
      (member failed: group=s member=s2 why=its session has expired)
      (member failed: group=g member=m2 why=its session has expired)
      append s: state of s2 gone
      append s: target of s2 gone
      append s: member s2 gone
      append s: group epoch 3
      append g: state of m2 gone
      append g: target of m2 gone
      append g: member m2 gone
      append g: group epoch 5
  D <- Empty epoch 3 target 2 uniform:

# Expressions: resolved at once when they are new, later when topics have changed for a while.

R: beat r member=r1 regex=a|b.*
R: beat r member=r1 epoch=2 regex=(
topic b 1
R: beat r member=r1 epoch=2
wait 11s
R: beat r member=r1 epoch=2
R: beat r member=r1 epoch=3 regex= topics=a
----
      (member joins: group=r member=r1 instance=)
      (group has a new target: group=r epoch=2 members=1 assignor=uniform)
      append r: member r1 []a|b.*
      append r: expression a|b.* [a]
      append r: group epoch 2
      append r: target of r1 [a0 a1]
      append r: target epoch 2
      append r: state of r1 epoch 2 [a0 a1]
  R <- r1 epoch 2 [a0 a1]
  R <- INVALID_REGULAR_EXPRESSION: SubscribedTopicRegex `(` is not a valid regular expression: error parsing regexp: missing closing ): `(`.
  R <- r1 epoch 2
      (group has a new target: group=r epoch=3 members=1 assignor=uniform)
      append r: expression a|b.* [a b]
      append r: group epoch 3
      append r: target of r1 [a0 a1 b0]
      append r: target epoch 3
      append r: state of r1 epoch 3 [a0 a1 b0]
  R <- r1 epoch 3 [a0 a1 b0]
      (group has a new target: group=r epoch=4 members=1 assignor=uniform)
      append r: member r1 [a]
      append r: expression a|b.* gone
      append r: group epoch 4
      append r: target of r1 [a0 a1]
      append r: target epoch 4
      append r: state of r1 epoch 3 [a0 a1] gives up [b0]
  R <- r1 epoch 3 [a0 a1]

# Requests that are not in order.

Q: beat q member=q1 epoch=5
Q: beat q member=q1
Q: beat q member=q1 epoch=-5
Q: beat q member=q1 topics=a assignor=sticky
Q: beat q member=q1 epoch=-2
Q: beat member=q1 topics=a
J: join s client=j
----
  Q <- GROUP_ID_NOT_FOUND: Consumer group q not found.
  Q <- INVALID_REQUEST: Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.
  Q <- INVALID_REQUEST: MemberEpoch is invalid.
  Q <- UNSUPPORTED_ASSIGNOR: ServerAssignor sticky is not supported. Supported assignors: uniform, range.
  Q <- INVALID_REQUEST: InstanceId can't be null.
  Q <- INVALID_REQUEST: GroupId can't be empty.
      (group prepares to rebalance: group=s generation=0 state=Empty why=member j-1 is new)
      append s: target gone
      append s: group gone
