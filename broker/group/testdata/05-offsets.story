# A consumer without membership, or an administrator, commits with generation -1: a simple group comes into being.

A: commit s t/0=7 metadata=note
A: fetch s t/0 t/1
admin: list
admin: describe s
----
      append s/t-0: offset 7 "note"
  A <- committed: ok
  A <- offsets: t-0=7 "note" t-1=-1
  admin <- groups: s(- Empty)
  admin <- Empty -/-:

# Of a group that does not exist nothing is committed; that is no error.

A: fetch unknown t/0
A: fetch unknown all
----
  A <- offsets: t-0=-1
  A <- offsets:

# Members of unknown groups cannot commit.

A: commit nope member=m gen=3 t/0=1
----
  A <- committed: ILLEGAL_GENERATION

# Metadata has a limit, and a refused partition does not hinder the others.

A: commit s t/1=1 metadata=x*4097
A: commit s t/1=1 metadata=x*4096
A: fetch s t/1
----
  A <- committed: OFFSET_METADATA_TOO_LARGE
      append s/t-1: offset 1 "xxxxxxxxxxxxxxxxxxxx"
  A <- committed: ok
  A <- offsets: t-1=1 "xxxxxxxxxxxxxxxxxxxx"

# While members are there, nobody else may commit.

set delay=0s
M: join g client=m
wait 0s
A: commit g t/0=99
M: commit g member=m-1 gen=1 t/0=1
M: sync g member=m-1 gen=1 assign=m-1:t0
M: commit g member=m-1 gen=1 t/0=1
M: commit g member=m-1 gen=0 t/0=2
M: commit g member=m-9 gen=1 t/0=2
A: commit g t/0=99
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member m-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  M <- generation 1 consumer/range, you are m-1, leader m-1, members: m-1
  A <- committed: UNKNOWN_MEMBER_ID
  M <- committed: REBALANCE_IN_PROGRESS
      append g: generation 1 consumer/range leader m-1 [m-1:t0]
  M <- assigned "t0" by consumer/range
      append g/t-0: offset 1
  M <- committed: ok
  M <- committed: ILLEGAL_GENERATION
  M <- committed: UNKNOWN_MEMBER_ID
  A <- committed: UNKNOWN_MEMBER_ID

# Commits under way: who needs stable offsets waits for them, who does not sees what is durable.

hold
M: commit g member=m-1 gen=1 t/0=2
M: commit g member=m-1 gen=1 t/0=3
A: fetch g t/0
S: fetch g stable t/0
other: fetch s stable t/0
durable 1
durable 1
release
----
      append g/t-0: offset 2
      append g/t-0: offset 3
  A <- offsets: t-0=1
  other <- offsets: t-0=7 "note"
      durable
  M <- committed: ok
      durable
  M <- committed: ok
  S <- offsets: t-0=3

# Offsets of a topic the members consume cannot be deleted, others can.

M: commit g member=m-1 gen=1 old/0=5 old/1=6
admin: delete-offsets g t/0 old/0 old/7
admin: fetch g all
admin: delete-offsets unknown t/0
----
      append g/old-0: offset 5
      append g/old-1: offset 6
  M <- committed: ok ok
      append g/old-0: forgotten
  admin <- forgotten: GROUP_SUBSCRIBED_TO_TOPIC ok ok
  admin <- offsets: old-1=6 t-0=3
  admin <- GROUP_ID_NOT_FOUND

# Of groups that are not consumers it is not known what they use.

W: join connect client=w type=connect protocols=default:x
wait 0s
W: sync connect member=w-2 gen=1
admin: delete-offsets connect t/0
----
      (group prepares to rebalance: group=connect generation=0 state=Empty why=member w-2 is new)
  after 0s:
      (group has joined: group=connect generation=1 members=1 protocol=default)
  W <- generation 1 connect/default, you are w-2, leader w-2, members: w-2
      append connect: generation 1 connect/default leader w-2 [w-2:]
  W <- assigned "" by connect/default
  admin <- NON_EMPTY_GROUP

# Groups with members cannot be deleted; empty ones can, with all their offsets.

admin: delete-group g
admin: delete-group unknown
M: leave g member=m-1
admin: delete-group g
admin: fetch g all
admin: list
----
  admin <- NON_EMPTY_GROUP
  admin <- GROUP_ID_NOT_FOUND
      (member leaves: group=g member=m-1 why=)
      (group prepares to rebalance: group=g generation=1 state=Stable why=members left)
      (group is empty: group=g generation=2)
      append g: generation 2 consumer/ leader - []
  M <- left: ok
      append g/old-1: forgotten
      append g/t-0: forgotten
      append g: deleted
  admin <- ok
  admin <- offsets:
  admin <- groups: connect(connect Stable) s(- Empty)

# A commit that is under way when a group is deleted comes first; what comes after is refused, retriably, until the deletion is durable.

hold
A: commit s t/0=8
admin: delete-group s
A: commit s t/0=9
A: join s client=a
A: fetch s t/0
durable 1
durable 1
release
A: fetch s t/0
----
      append s/t-0: offset 8
  A <- committed: COORDINATOR_NOT_AVAILABLE
  A <- COORDINATOR_NOT_AVAILABLE
  A <- offsets: t-0=7 "note"
      durable
      append s/t-0: forgotten
      append s/t-1: forgotten
      append s: deleted
  A <- committed: ok
      durable
  admin <- ok
  A <- offsets: t-0=-1

# A topic is deleted, and its offsets with it; another topic of the same name is another topic.

A: commit s t/0=1 id=A
B: commit s2 t/0=2 id=B
C: fetch s t/0 id=B
C: fetch s t/0 id=A
image: topic-deleted topic=t id=A
A: fetch s t/0
B: fetch s2 t/0
----
      append s/t-0: offset 1 topic id A
  A <- committed: ok
      append s2/t-0: offset 2 topic id B
  B <- committed: ok
  C <- offsets: t-0=-1
  C <- offsets: t-0=1 topic id A
      append s/t-0: forgotten
  image <- ok
  A <- offsets: t-0=-1
  B <- offsets: t-0=2 topic id B

# A batch holds so much and no more: a large commit takes several, and is answered after the last.

set batch=128
hold
A: commit s a/0=1 a/1=1 a/2=1 a/3=1
durable 1
release
----
      append s/a-0: offset 1
      append s/a-1: offset 1
      append s/a-2: offset 1
      append s/a-3: offset 1
      durable
  A <- committed: ok ok ok ok
