# Offsets of a transaction are pending until its marker is durable. Who asks for stable ones is told so, partition by partition.

A: commit s t/0=5 t/1=5
P: commit s producer=7 t/0=9
A: fetch s t/0 t/1
A: fetch s stable t/0 t/1
A: fetch s stable all
C: end producer=7 commit
A: fetch s stable t/0 t/1
----
      append s/t-0: offset 5
      append s/t-1: offset 5
  A <- committed: ok ok
      append for producer 7: s/t-0: offset 9
  P <- committed: ok
  A <- offsets: t-0=5 t-1=5
  A <- offsets: t-0 UNSTABLE_OFFSET_COMMIT t-1=5
  A <- offsets: t-0 UNSTABLE_OFFSET_COMMIT t-1=5
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=9 t-1=5

# An abort drops them. A group that was nothing but pending offsets is gone with them.

P: commit new producer=7 t/0=1
A: list
C: end producer=7 abort
A: list
----
      append for producer 7: new/t-0: offset 1
  P <- committed: ok
  A <- groups: new(- Empty) s(- Empty)
      append marker of producer 7: aborted
  C <- ok
  A <- groups: s(- Empty)

# A marker of a producer that has committed nothing here is written all the same.

C: end producer=99 commit
----
      append marker of producer 99: committed
  C <- ok

# The place in the log counts, not the end of the transaction: of 10 and 12 it is 12, whoever ends when, and 14 of 13 and 14.

P: commit s producer=7 t/0=10
Q: commit s producer=8 t/0=12
C: end producer=8 commit
C: end producer=7 commit
A: fetch s t/0
P: commit s producer=7 t/0=13
A: commit s t/0=14
C: end producer=7 commit
A: fetch s t/0
----
      append for producer 7: s/t-0: offset 10
  P <- committed: ok
      append for producer 8: s/t-0: offset 12
  Q <- committed: ok
      append marker of producer 8: committed
  C <- ok
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=12
      append for producer 7: s/t-0: offset 13
  P <- committed: ok
      append s/t-0: offset 14
  A <- committed: ok
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=14

# Pending offsets survive the coordinator, and never expire, nor does their group.

P: commit s producer=7 t/0=20
P: commit other producer=7 t/0=21
crash
wait 400h
A: fetch s stable t/0 t/1
C: end producer=7 commit
A: fetch s stable t/0
A: fetch other stable t/0
----
      append for producer 7: s/t-0: offset 20
  P <- committed: ok
      append for producer 7: other/t-0: offset 21
  P <- committed: ok
  after 168h0m0s:
      (offsets expire: group=s offsets=1)
      append s/t-1: forgotten
  A <- offsets: t-0 UNSTABLE_OFFSET_COMMIT t-1=-1
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=20
  A <- offsets: t-0=21

# A commit that is under way counts as pending for who asks for stable offsets; one that is refused does not.

hold
P: commit s producer=7 t/0=30
A: fetch s stable t/0
refuse INVALID_TXN_STATE
P: commit s producer=7 t/0=31
A: fetch s stable t/0
durable
C: end producer=7 abort
refuse TRANSACTION_COORDINATOR_FENCED
C: end producer=7 abort
release
A: fetch s stable t/0
----
      append for producer 7: s/t-0: offset 30
  P <- committed: INVALID_TXN_STATE
  A <- offsets: t-0=20
      append for producer 7: s/t-0: offset 31
      durable
  P <- committed: ok
  A <- offsets: t-0 UNSTABLE_OFFSET_COMMIT
      append marker of producer 7: aborted
  C <- TRANSACTION_COORDINATOR_FENCED
      append marker of producer 7: aborted
  C <- ok
  A <- offsets: t-0=20

# Who asks for stable offsets waits for all commits to the group that are under way, in order.

hold
A: commit s t/0=40
P: commit void producer=7 t/0=41
A: fetch s stable t/0
release
A: list
----
      append s/t-0: offset 40
      append for producer 7: void/t-0: offset 41
  A <- committed: ok
  A <- offsets: t-0=40
  P <- committed: ok
  A <- groups: other(- Empty) s(- Empty) void(- Empty)

# Deleting offsets, or the group, deletes the pending ones too.

P: commit s producer=7 t/0=50 t/2=50
A: delete-offsets s t/2
A: delete-group s
C: end producer=7 commit
A: fetch s t/0 t/2
A: list
----
      append for producer 7: s/t-0: offset 50
      append for producer 7: s/t-2: offset 50
  P <- committed: ok ok
      append s/t-2: forgotten
  A <- forgotten: ok
      append s/t-0: forgotten
      append s: deleted
  A <- ok
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=-1 t-2=-1
  A <- groups: other(- Empty) void(- Empty)

# A member commits under its generation, whatever the state of the group; old clients name no member.

set delay=0s
M: join g client=m
wait 0s
P: commit g producer=7 member=m-1 gen=1 t/0=1
P: commit g producer=7 member=m-1 gen=0 t/0=1
P: commit g producer=7 member=m-9 gen=1 t/0=1
P: commit g producer=7 member=m-1 t/0=1
P: commit g producer=7 t/0=2
P: commit h producer=7 member=m-1 gen=1 t/0=1
C: end producer=7 commit
A: fetch g t/0
----
      (group prepares to rebalance: group=g generation=0 state=Empty why=member m-1 is new)
  after 0s:
      (group has joined: group=g generation=1 members=1 protocol=range)
  M <- generation 1 consumer/range, you are m-1, leader m-1, members: m-1
      append for producer 7: g/t-0: offset 1
  P <- committed: ok
  P <- committed: ILLEGAL_GENERATION
  P <- committed: UNKNOWN_MEMBER_ID
  P <- committed: ILLEGAL_GENERATION
      append for producer 7: g/t-0: offset 2
  P <- committed: ok
  P <- committed: ILLEGAL_GENERATION
      append marker of producer 7: committed
  C <- ok
  A <- offsets: t-0=2

# Too much metadata is refused, and the rest is committed.

P: commit g producer=7 t/0=7 metadata=x*4097
C: end producer=7 commit
----
  P <- committed: OFFSET_METADATA_TOO_LARGE
      append marker of producer 7: committed
  C <- ok
