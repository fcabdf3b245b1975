------------------------------ MODULE SlotLog ------------------------------
(***************************************************************************)
(* The slot log of storage/slotlog: one epoch, a row of slots, each of     *)
(* which a store gives to whoever comes first (put-if-absent).  Writers    *)
(* append, at most Window slots ahead of what is acknowledged; sealers     *)
(* walk from the trim to the first empty slot and put a seal there.        *)
(*                                                                         *)
(* What the store may do: lose an answer after it has carried the put out, *)
(* carry it out later or never, and fail a read.  Faults bounds how often. *)
(* A pause of any length is any other steps coming first, and a crash is a *)
(* pause without an end, so neither has a step.                            *)
(*                                                                         *)
(* Invariants have the numbers of the package's doc.  Mistake plants one:  *)
(* each has to break the invariant that test/tla/main.go names.            *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS Writers, Sealers, Appends, Window, Faults, Mistake

Empty == "empty"
Slots == 0 .. (Appends + Cardinality(Sealers))
Mistakes == {"none", "taken is stored", "undetermined is stored", "any data is ours", "sealer goes on", "trim goes on", "seal is deleted", "undetermined is given up"}

ASSUME Mistake \in Mistakes

VARIABLES
  slot,     \* what each slot holds: Empty, a writer, a sealer
  late,     \* puts that nobody waits for and that may still happen
  flight,   \* of each writer and slot: "none", "put", "read", "stored"
  started,  \* of each writer: slots below are in flight or further
  acked,    \* of each writer: slots below are acknowledged
  stopped,  \* of each writer: it knows that it is fenced
  trim,     \* the committed trim: slots below it may go
  frozen,   \* the fence record has frozen it
  at,       \* of each sealer: where its walk is
  phase,    \* of each sealer: "idle", "probe", "put", "done"
  from,     \* of each sealer: where its walk began
  final,    \* of each sealer: the slots as they were when it knew the end
  faults    \* left

vars == <<slot, late, flight, started, acked, stopped, trim, frozen, at, phase, from, final, faults>>
writerVars == <<flight, started, acked, stopped>>
sealerVars == <<at, phase, from, final>>

Init ==
  /\ slot = [s \in Slots |-> Empty]
  /\ late = {}
  /\ flight = [w \in Writers |-> [s \in Slots |-> "none"]]
  /\ started = [w \in Writers |-> 0]
  /\ acked = [w \in Writers |-> 0]
  /\ stopped = [w \in Writers |-> FALSE]
  /\ trim = 0 /\ frozen = FALSE
  /\ at = [x \in Sealers |-> 0]
  /\ phase = [x \in Sealers |-> "idle"]
  /\ from = [x \in Sealers |-> 0]
  /\ final = [x \in Sealers |-> [s \in Slots |-> Empty]]
  /\ faults = Faults

\* What a writer makes of a put whose fate it does not know: the same put again.
Undetermined(f) == CASE Mistake = "undetermined is stored" -> "stored" [] Mistake = "undetermined is given up" -> "none" [] OTHER -> f

Filled(s, who) == IF slot[s] = Empty THEN [slot EXCEPT ![s] = who] ELSE slot

-----------------------------------------------------------------------------
\* Writers

Start(w) ==
  /\ ~stopped[w] /\ started[w] < Appends /\ started[w] - acked[w] < Window
  /\ flight' = [flight EXCEPT ![w][started[w]] = "put"]
  /\ started' = [started EXCEPT ![w] = @ + 1]
  /\ UNCHANGED <<slot, late, acked, stopped, trim, frozen, sealerVars, faults>>

\* The put is answered: it was the first, or the slot is taken, perhaps by an earlier try of the same bytes.
Put(w, s) ==
  /\ ~stopped[w] /\ flight[w][s] = "put"
  /\ slot' = Filled(s, w)
  /\ flight' = [flight EXCEPT ![w][s] = IF slot[s] = Empty \/ Mistake = "taken is stored" THEN "stored" ELSE "read"]
  /\ UNCHANGED <<late, started, acked, stopped, trim, frozen, sealerVars, faults>>

\* The answer is lost: the put is undetermined and is repeated.
PutLost(w, s) ==
  /\ ~stopped[w] /\ flight[w][s] = "put" /\ faults > 0
  /\ faults' = faults - 1
  /\ slot' = Filled(s, w)
  /\ flight' = [flight EXCEPT ![w][s] = Undetermined(@)]
  /\ UNCHANGED <<late, started, acked, stopped, trim, frozen, sealerVars>>

\* The same to the writer, but the put happens later, or never.
PutLater(w, s) ==
  /\ ~stopped[w] /\ flight[w][s] = "put" /\ faults > 0
  /\ faults' = faults - 1
  /\ late' = late \cup {<<s, w>>}
  /\ flight' = [flight EXCEPT ![w][s] = Undetermined(@)]
  /\ UNCHANGED <<slot, started, acked, stopped, trim, frozen, sealerVars>>

ReadBack(w, s) ==
  /\ ~stopped[w] /\ flight[w][s] = "read"
  /\ LET mine == slot[s] = w \/ (Mistake = "any data is ours" /\ slot[s] \in Writers)
     IN /\ flight' = [flight EXCEPT ![w][s] = CASE mine -> "stored" [] slot[s] = Empty -> "put" [] OTHER -> "none"]
        /\ stopped' = [stopped EXCEPT ![w] = ~mine /\ slot[s] # Empty]
  /\ UNCHANGED <<slot, late, started, acked, trim, frozen, sealerVars, faults>>

ReadFails(w, s) ==
  /\ ~stopped[w] /\ flight[w][s] = "read" /\ faults > 0
  /\ faults' = faults - 1
  /\ flight' = [flight EXCEPT ![w][s] = "put"]
  /\ UNCHANGED <<slot, late, started, acked, stopped, trim, frozen, sealerVars>>

Acknowledge(w) ==
  /\ ~stopped[w] /\ acked[w] < started[w] /\ flight[w][acked[w]] = "stored"
  /\ acked' = [acked EXCEPT ![w] = @ + 1]
  /\ UNCHANGED <<slot, late, flight, started, stopped, trim, frozen, sealerVars, faults>>

-----------------------------------------------------------------------------
\* The store, and the trim

LatePut(l) ==
  /\ l \in late
  /\ late' = late \ {l}
  /\ slot' = Filled(l[1], l[2])
  /\ UNCHANGED <<writerVars, trim, frozen, sealerVars, faults>>

\* What an upload committed is trimmed; slot 0 stays.
Trim(w) ==
  /\ ~frozen \/ Mistake = "trim goes on"
  /\ trim < acked[w]
  /\ trim' = trim + 1
  /\ slot' = IF trim > 0 THEN [slot EXCEPT ![trim] = Empty] ELSE slot
  /\ UNCHANGED <<late, writerVars, frozen, sealerVars, faults>>

DeleteSeal(x) ==
  /\ Mistake = "seal is deleted"
  /\ phase[x] = "done" /\ slot[at[x]] = x
  /\ slot' = [slot EXCEPT ![at[x]] = Empty]
  /\ UNCHANGED <<late, writerVars, trim, frozen, sealerVars, faults>>

-----------------------------------------------------------------------------
\* Sealers

\* The fence record freezes the trim, and the walk begins there.
Begin(x) ==
  /\ phase[x] = "idle"
  /\ frozen' = TRUE
  /\ at' = [at EXCEPT ![x] = trim]
  /\ from' = [from EXCEPT ![x] = trim]
  /\ phase' = [phase EXCEPT ![x] = "probe"]
  /\ UNCHANGED <<slot, late, writerVars, trim, final, faults>>

Probe(x) ==
  /\ phase[x] = "probe"
  /\ LET held == slot[at[x]] IN
     /\ at' = [at EXCEPT ![x] = IF held \in Writers THEN @ + 1 ELSE @]
     /\ phase' = [phase EXCEPT ![x] = CASE held = Empty -> "put" [] held \in Writers -> "probe" [] OTHER -> "done"]
     /\ final' = IF held \in Sealers THEN [final EXCEPT ![x] = slot] ELSE final
  /\ UNCHANGED <<slot, late, writerVars, trim, frozen, from, faults>>

PutSeal(x) ==
  /\ phase[x] = "put"
  /\ slot' = Filled(at[x], x)
  /\ phase' = [phase EXCEPT ![x] = IF slot[at[x]] = Empty THEN "done" ELSE "probe"]
  /\ final' = IF slot[at[x]] = Empty THEN [final EXCEPT ![x] = slot'] ELSE final
  /\ UNCHANGED <<late, writerVars, trim, frozen, at, from, faults>>

PutSealLost(x) ==
  /\ phase[x] = "put" /\ faults > 0
  /\ faults' = faults - 1
  /\ slot' = Filled(at[x], x)
  /\ UNCHANGED <<late, writerVars, trim, frozen, sealerVars>>

PutSealLater(x) ==
  /\ phase[x] = "put" /\ faults > 0
  /\ faults' = faults - 1
  /\ late' = late \cup {<<at[x], x>>}
  /\ at' = [at EXCEPT ![x] = IF Mistake = "sealer goes on" THEN @ + 1 ELSE @]
  /\ phase' = [phase EXCEPT ![x] = IF Mistake = "sealer goes on" THEN "probe" ELSE @]
  /\ UNCHANGED <<slot, writerVars, trim, frozen, from, final>>

-----------------------------------------------------------------------------

WriterStep(w) == Start(w) \/ Acknowledge(w) \/ \E s \in Slots : Put(w, s) \/ ReadBack(w, s)
SealerStep(x) == Probe(x) \/ PutSeal(x)

Next ==
  \/ \E w \in Writers : WriterStep(w) \/ Trim(w) \/ \E s \in Slots : PutLost(w, s) \/ PutLater(w, s) \/ ReadFails(w, s)
  \/ \E x \in Sealers : Begin(x) \/ SealerStep(x) \/ PutSealLost(x) \/ PutSealLater(x) \/ DeleteSeal(x)
  \/ \E l \in late : LatePut(l)

\* The store answers in the end, and processes go on: the steps without a fault are taken if they stay possible.
Fair == (\A w \in Writers : WF_vars(WriterStep(w))) /\ (\A x \in Sealers : WF_vars(SealerStep(x)))

Safety == Init /\ [][Next]_vars
Spec == Safety /\ Fair

-----------------------------------------------------------------------------
\* The invariants, numbered as in the package

Done(x) == phase[x] = "done"

\* 1: what is acknowledged is there, as far as it is not trimmed.
I1_AcknowledgedIsStored == \A w \in Writers : \A s \in Slots : s >= trim /\ s < acked[w] => slot[s] = w

\* 2: acknowledgements come in order (each takes the next slot), and after the first failure there are none.
I2_NothingAfterFailure == [][\A w \in Writers : stopped[w] => acked'[w] = acked[w]]_vars

\* 3: every acknowledged slot lies before the seal.
I3_AcknowledgedBeforeSeal == \A x \in Sealers, w \in Writers : Done(x) => acked[w] <= at[x]

\* 4: one writer of an epoch is acknowledged.
I4_OneWriter == \A v, w \in Writers : acked[v] > 0 /\ acked[w] > 0 => v = w

\* 5: what lies before the seal does not change.
I5_PrefixIsFinal == \A x \in Sealers : Done(x) => \A s \in Slots : s >= from[x] /\ s < at[x] => slot[s] = final[x][s] /\ slot[s] \in Writers

\* 6: all sealers find the same end, and there is a seal.
I6_OneEnd == \A x, y \in Sealers : Done(x) /\ Done(y) => at[x] = at[y]

\* 7: every append comes to an end, and so does every walk.
I7_EverythingEnds ==
  /\ \A w \in Writers : <>(stopped[w] \/ acked[w] = Appends)
  /\ \A x \in Sealers : (phase[x] = "probe") ~> Done(x)

\* The state is of the right kind.
TypeOK ==
  /\ slot \in [Slots -> Writers \cup Sealers \cup {Empty}]
  /\ late \subseteq Slots \X (Writers \cup Sealers)
  /\ flight \in [Writers -> [Slots -> {"none", "put", "read", "stored"}]]
  /\ \A w \in Writers : acked[w] <= started[w] /\ started[w] <= Appends
  /\ \A x \in Sealers : at[x] \in Slots /\ phase[x] \in {"idle", "probe", "put", "done"}
  /\ faults \in 0 .. Faults
=============================================================================
