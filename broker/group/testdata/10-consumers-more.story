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

# Expressions: matched by the heartbeat after the one that brings them, later when topics have changed for a while.

R: beat r member=r1 regex=a|b.*
R: beat r member=r1 epoch=1
R: beat r member=r1 epoch=2 regex=(
topic b 1
R: beat r member=r1 epoch=2
wait 11s
R: beat r member=r1 epoch=2
R: beat r member=r1 epoch=3 regex= topics=a
----
      (member joins: group=r member=r1 instance=)
      (group has a new target: group=r epoch=1 members=1 assignor=uniform)
      append r: member r1 []a|b.*
      append r: group epoch 1
      append r: target of r1 []
      append r: target epoch 1
      append r: state of r1 epoch 1 []
  R <- r1 epoch 1 []
      (group has a new target: group=r epoch=2 members=1 assignor=uniform)
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

# Another expression that matches the same: what is taken away meanwhile comes back.

R: beat e member=e1 regex=a.*
R: beat e member=e1 epoch=1
R: beat e member=e1 epoch=2 regex=a
R: beat e member=e1 epoch=2
R: beat e member=e1 epoch=2 owned=
----
      (member joins: group=e member=e1 instance=)
      (group has a new target: group=e epoch=1 members=1 assignor=uniform)
      append e: member e1 []a.*
      append e: group epoch 1
      append e: target of e1 []
      append e: target epoch 1
      append e: state of e1 epoch 1 []
  R <- e1 epoch 1 []
      (group has a new target: group=e epoch=2 members=1 assignor=uniform)
      append e: expression a.* [a]
      append e: group epoch 2
      append e: target of e1 [a0 a1]
      append e: target epoch 2
      append e: state of e1 epoch 2 [a0 a1]
  R <- e1 epoch 2 [a0 a1]
      append e: member e1 []a
      append e: expression a.* gone
      append e: state of e1 epoch 2 [] gives up [a0 a1]
  R <- e1 epoch 2 []
      (group has a new target: group=e epoch=3 members=1 assignor=uniform)
      append e: expression a [a]
      append e: group epoch 3
      append e: target epoch 3
  R <- e1 epoch 2
      append e: state of e1 epoch 3 [a0 a1]
  R <- e1 epoch 3 [a0 a1]

# An expression matches what its member may describe. A right that comes or goes is seen after a while (here 40 s), or when a topic comes; of two
# members of one expression the one decides that is the first to look then.

V: beat v member=v1 regex=[ab] sees=
V: beat v member=v1 epoch=1 sees=
wait 11s
V: beat v member=v1 epoch=1 sees=b
wait 30s
V: beat v member=v1 epoch=1 sees=b
W: beat v member=w1 regex=[ab] sees=
V: beat v member=v1 epoch=2 sees=b
wait 20s
W: beat v member=w1 epoch=3 sees=
V: beat v member=v1 epoch=3 sees=b
wait 20s
W: beat v member=w1 epoch=3 sees=
wait 1s
V: beat v member=v1 epoch=3 sees=b full regex=[ab] owned=b0
----
      (member joins: group=v member=v1 instance=)
      (group has a new target: group=v epoch=1 members=1 assignor=uniform)
      append v: member v1 [][ab]
      append v: group epoch 1
      append v: target of v1 []
      append v: target epoch 1
      append v: state of v1 epoch 1 []
  V <- v1 epoch 1 []
      append v: expression [ab] []
  V <- v1 epoch 1
  V <- v1 epoch 1
  after 9s:
      (member failed: group=r member=r1 why=it did not give up its partitions in time)
      append r: state of r1 gone
      append r: target of r1 gone
      append r: member r1 gone
      append r: group epoch 5
      (group has a new target: group=v epoch=2 members=1 assignor=uniform)
      append v: expression [ab] [b]
      append v: group epoch 2
      append v: target of v1 [b0]
      append v: target epoch 2
      append v: state of v1 epoch 2 [b0]
  V <- v1 epoch 2 [b0]
      (member joins: group=v member=w1 instance=)
      (group has a new target: group=v epoch=3 members=2 assignor=uniform)
      append v: member w1 [][ab]
      append v: group epoch 3
      append v: target of w1 []
      append v: target epoch 3
      append v: state of w1 epoch 3 []
  W <- w1 epoch 3 []
      append v: state of v1 epoch 3 [b0]
  V <- v1 epoch 3
  after 4s:
      (member failed: group=e member=e1 why=its session has expired)
      append e: state of e1 gone
      append e: target of e1 gone
      append e: member e1 gone
      append e: expression a gone
      append e: group epoch 4
  W <- w1 epoch 3
  V <- v1 epoch 3
      (group has a new target: group=v epoch=4 members=2 assignor=uniform)
      append v: expression [ab] []
      append v: group epoch 4
      append v: target of v1 []
      append v: target epoch 4
      append v: state of w1 epoch 4 []
  W <- w1 epoch 4
      append v: state of v1 epoch 3 [] gives up [b0]
  V <- v1 epoch 3 []

# Members of other expressions do not look for one another.

X: beat x member=x1 regex=a.* sees=
Y: beat x member=y1 regex=b.*
X: beat x member=x1 epoch=1 sees=
Y: beat x member=y1 epoch=1
X: beat x member=x1 epoch=1 sees=
Y: consumers x
----
      (member joins: group=x member=x1 instance=)
      (group has a new target: group=x epoch=1 members=1 assignor=uniform)
      append x: member x1 []a.*
      append x: group epoch 1
      append x: target of x1 []
      append x: target epoch 1
      append x: state of x1 epoch 1 []
  X <- x1 epoch 1 []
      (member joins: group=x member=y1 instance=)
      append x: member y1 []b.*
      append x: state of y1 epoch 1 []
  Y <- y1 epoch 1 []
      append x: expression a.* []
  X <- x1 epoch 1
      (group has a new target: group=x epoch=2 members=2 assignor=uniform)
      append x: expression b.* [b]
      append x: group epoch 2
      append x: target of y1 [b0]
      append x: target epoch 2
      append x: state of y1 epoch 2 [b0]
  Y <- y1 epoch 2 [b0]
      append x: state of x1 epoch 2 []
  X <- x1 epoch 2
  Y <- Stable epoch 2 target 2 uniform: x1@2[]→[] y1@2[b0]→[b0]

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
