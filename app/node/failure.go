package node

import (
	"context"

	"sluice/base"
	"sluice/cluster/meta"
)

// A disk that refuses a write or a sync ends its WAL: what the kernel has made of the pages nobody can know, so nothing is written there again, not even
// what would be repeated. A broker with one WAL ends with it, and is rescued like any broker that died. One with several goes on without the volume:
//
//	failed    the log refuses every append from its first failure on. What waited for it gets an error that clients try again after
//	halted    the engine takes nothing more. Everything that was acknowledged is in its memory (see stream.Engine.Halt), or committed
//	draining  so says the metadata: nothing is opened on the volume any more, and what is open there is handed over to the other volumes as in
//	          any drain. The upload before each hand-over is from memory; a stream ends where its acknowledged records end
//	removed   as after any drain. The rescue that is left finds nothing to read; if the files cannot be removed it says so and tries again
//
// So the disk is not asked for anything once it has failed. It is where the records are only until they are committed: if the broker dies before that, the
// rescue reads them, and if it cannot, they stay offline and the rescue says which WAL it is, as after any death.
//
// A disk that hangs, so that a write neither ends nor fails, is such a disk after wal-stall-timeout (package wal/file). Of the block that was being written nothing is
// known, and never will be here: it was refused, and may get to the disk at any time. That is the same as after EIO, where a block may lie on the disk as well; so
// nothing above changes. What does is that calls of the disk have not returned: closing the WAL leaves them behind, with the lock of a local directory, and a rescue
// that has to seal or remove it waits for them in its own job, which is left behind too when the broker ends.
//
// A WAL that was sealed is another matter: whoever sealed it has fenced this node with all its volumes, and its role is over.

// walFailed is told once of each WAL that accepts nothing any more.
func (n *Node) walFailed(v *volume, err error) {
	switch {
	case v.gone.Load():
	case base.IsKind(err, base.Fenced) || !n.hasOther(v):
		n.fail(err)
	default:
		v.fault.Store(&err)
		n.failedVolumes.Inc()
		n.log.Error("a WAL has failed and is taken out of service; what is open on it goes to the other WALs of this broker. Nothing is written to it again. Replace it, or take it out of the setting wal before the next start",
			"volume", v.ref.Epoch, "wal", v.log, "error", err)
		v.engine.Halt(err)
		n.volumes.changed()
	}
}

// hasOther reports whether something that is open on v can go to another volume of this node.
func (n *Node) hasOther(v *volume) bool {
	self, ok := n.member.Image().Node(n.self.ID)
	if !ok || self.Fenced {
		return false
	}
	for _, o := range n.volumes.all() {
		if at, ok := self.Volume(o.ref.Epoch); ok && o != v && at.State == meta.VolumeActive && o.fault.Load() == nil {
			return true
		}
	}
	return false
}

// drainFailed has everything leave the volumes whose WALs have failed, also when an operator has called that off. When there is nothing any more that it
// could go to, the node's role is over.
func (n *Node) drainFailed(ctx context.Context) error {
	self, _ := n.member.Image().Node(n.self.ID)
	for _, v := range n.volumes.all() {
		fault := v.fault.Load()
		if at, ok := self.Volume(v.ref.Epoch); fault == nil || !ok || self.Fenced || at.State != meta.VolumeActive {
			continue
		}
		_, err := n.member.Submit(ctx, &meta.SetVolume{Node: n.self, Volume: v.ref.Epoch, State: meta.VolumeDraining})
		switch {
		case meta.CodeOf(err) == meta.VolumeBusy:
			n.fail(*fault)
		case err != nil:
			return err
		}
	}
	return nil
}
