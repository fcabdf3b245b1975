----------------------------- MODULE TokenRule -----------------------------
(***************************************************************************)
(* The token rule of storage/wal/file: a WAL in a directory that several   *)
(* nodes share, where locks may be lost and a paused writer may go on at   *)
(* any time.                                                               *)
(*                                                                         *)
(* The writer has up to InFlight durable writes under way.  When all       *)
(* blocks up to some block are durable it reads the token by a fresh open, *)
(* and acknowledges them if nobody has marked it.  A rescuer marks the     *)
(* token and syncs it, then reads the log to the first block that is not   *)
(* there, then stores that end with put-if-absent; who comes second takes  *)
(* the first one's end.                                                    *)
(*                                                                         *)
(* The directory is as close-to-open consistency has it: a mark that was   *)
(* written and not synced is seen by nobody else; a fresh open sees what   *)
(* was synced.  Writes in flight may land at any time, also after the      *)
(* rescuer has looked.  A crash is a pause without an end.                 *)
(***************************************************************************)
EXTENDS Naturals

CONSTANTS Rescuers, Blocks, InFlight, Mistake

Mistakes == {"none", "token before sync", "log before mark", "mark not synced", "token from a cache", "no token", "own end"}

ASSUME Mistake \in Mistakes

VARIABLES
  begun,     \* blocks [1, begun] were given to the disk
  durable,   \* the set of blocks that are on it
  failed,    \* a write has failed: sticky
  token,     \* "free", "written" (by a rescuer, not synced), "marked"
  cached,    \* what the writer has read of the token earlier: "none", or as token
  checking,  \* the writer has read the token, and will acknowledge up to here; 0: not now
  sees,      \* what it has read
  fenced,    \* it has found the mark
  acked,     \* blocks [1, acked] are acknowledged
  phase,     \* of each rescuer: "idle", "written", "reading", "found", "done"
  read,      \* of each rescuer: blocks [1, read] were found
  end,       \* of each rescuer that is done: the end of the log
  seal       \* the stored end, plus one; 0: none

vars == <<begun, durable, failed, token, cached, checking, sees, fenced, acked, phase, read, end, seal>>
writerVars == <<begun, durable, failed, cached, checking, sees, fenced, acked>>

Init ==
  /\ begun = 0 /\ durable = {} /\ failed = FALSE
  /\ token = "free" /\ cached = "none"
  /\ checking = 0 /\ sees = "free" /\ fenced = FALSE /\ acked = 0
  /\ phase = [r \in Rescuers |-> "idle"]
  /\ read = [r \in Rescuers |-> 0]
  /\ end = [r \in Rescuers |-> 0]
  /\ seal = 0

\* Blocks up to here are on the disk.
Prefix == CHOOSE n \in 0 .. Blocks : (\A b \in 1 .. n : b \in durable) /\ n + 1 \notin durable

Visible == IF token = "marked" THEN "marked" ELSE "free"

-----------------------------------------------------------------------------
\* The writer

Begin ==
  /\ ~failed /\ ~fenced /\ begun < Blocks
  /\ begun - acked < InFlight
  /\ begun' = begun + 1
  /\ cached' = IF Mistake = "token before sync" \/ (Mistake = "token from a cache" /\ cached = "none") THEN Visible ELSE cached
  /\ UNCHANGED <<durable, failed, token, checking, sees, fenced, acked, phase, read, end, seal>>

\* A write lands. It does so whatever has become of the writer, which may be fenced or gone.
Land(b) ==
  /\ b \in 1 .. begun /\ b \notin durable
  /\ durable' = durable \cup {b}
  /\ UNCHANGED <<begun, failed, token, cached, checking, sees, fenced, acked, phase, read, end, seal>>

\* A write fails; whether it landed is not known. Nothing is acknowledged after that.
Fail ==
  /\ ~failed /\ begun > Prefix
  /\ failed' = TRUE /\ checking' = 0
  /\ UNCHANGED <<begun, durable, token, cached, sees, fenced, acked, phase, read, end, seal>>

\* The token is read once for all blocks that are ready.
Check ==
  /\ ~failed /\ ~fenced /\ checking = 0 /\ Prefix > acked
  /\ checking' = Prefix
  /\ sees' = CASE Mistake \in {"token before sync", "token from a cache"} -> cached [] Mistake = "no token" -> "free" [] OTHER -> Visible
  /\ UNCHANGED <<begun, durable, failed, token, cached, fenced, acked, phase, read, end, seal>>

Deliver ==
  /\ checking > 0
  /\ checking' = 0
  /\ acked' = IF sees = "marked" THEN acked ELSE checking
  /\ fenced' = (sees = "marked")
  /\ UNCHANGED <<begun, durable, failed, token, cached, sees, phase, read, end, seal>>

-----------------------------------------------------------------------------
\* Rescuers

Write(r) ==
  /\ phase[r] = "idle"
  /\ token' = IF token = "marked" THEN "marked" ELSE "written"
  /\ phase' = [phase EXCEPT ![r] = IF Mistake \in {"log before mark", "mark not synced"} THEN "reading" ELSE "written"]
  /\ UNCHANGED <<writerVars, read, end, seal>>

Sync(r) ==
  /\ phase[r] = "written"
  /\ token' = "marked"
  /\ phase' = [phase EXCEPT ![r] = IF Mistake = "log before mark" THEN "found" ELSE "reading"]
  /\ UNCHANGED <<writerVars, read, end, seal>>

\* Block by block; meanwhile anything may land.
Read(r) ==
  /\ phase[r] = "reading"
  /\ IF read[r] + 1 \in durable
     THEN read' = [read EXCEPT ![r] = @ + 1] /\ UNCHANGED phase
     ELSE phase' = [phase EXCEPT ![r] = IF Mistake = "log before mark" THEN "written" ELSE "found"] /\ UNCHANGED read
  /\ UNCHANGED <<writerVars, token, end, seal>>

\* The end is stored with put-if-absent, and the first one's end counts.
Seal(r) ==
  /\ phase[r] = "found"
  /\ seal' = IF seal = 0 THEN read[r] + 1 ELSE seal
  /\ end' = [end EXCEPT ![r] = IF Mistake = "own end" THEN read[r] ELSE seal' - 1]
  /\ phase' = [phase EXCEPT ![r] = "done"]
  /\ UNCHANGED <<writerVars, token, read>>

-----------------------------------------------------------------------------

RescuerStep(r) == Write(r) \/ Sync(r) \/ Read(r) \/ Seal(r)

Next == Begin \/ Fail \/ Check \/ Deliver \/ (\E b \in 1 .. Blocks : Land(b)) \/ (\E r \in Rescuers : RescuerStep(r))

Fair == WF_vars(Begin) /\ WF_vars(Check) /\ WF_vars(Deliver) /\ (\A b \in 1 .. Blocks : WF_vars(Land(b))) /\ (\A r \in Rescuers : WF_vars(RescuerStep(r)))

Spec == Init /\ [][Next]_vars /\ Fair

-----------------------------------------------------------------------------
\* The invariants, numbered as in the package

Done(r) == phase[r] = "done"

\* 1: a block is acknowledged only when it and all before it are durable.
I1_AcknowledgedIsDurable == acked <= Prefix

\* 2: what a rescuer does not find was never acknowledged, and never will be.
I2_NothingBeyondTheEnd == \A r \in Rescuers : Done(r) => acked <= end[r]

\* All rescuers find one end, and everything before it is there.
OneEnd == \A q, r \in Rescuers : Done(q) /\ Done(r) => end[q] = end[r]
EndIsThere == \A r \in Rescuers : Done(r) => end[r] <= Prefix

\* Marks are never taken back.
MarksStay == [][token = "marked" => token' = "marked"]_vars

\* Every block is acknowledged, or the writer is fenced or has failed; and every rescue comes to its end.
EverythingEnds == <>(acked = Blocks \/ fenced \/ failed) /\ \A r \in Rescuers : <>Done(r)

TypeOK ==
  /\ begun \in 0 .. Blocks /\ acked \in 0 .. begun /\ durable \subseteq 1 .. begun
  /\ token \in {"free", "written", "marked"} /\ seal \in 0 .. Blocks + 1
  /\ \A r \in Rescuers : read[r] \in 0 .. Blocks /\ end[r] \in 0 .. Blocks
=============================================================================
