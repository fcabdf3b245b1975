package meta

import (
	"fmt"

	"sluice/base"
)

type commandType uint8

// Types of commands, as they travel between processes. A number is never used again for something else.
const (
	typeRegister commandType = iota + 1
	typeUpdateNode
	typeFenceNode
	typeReportApplied
	typeNameController
	typeGrantRescue
	typeCompleteRescue
	typeForgetRescue
	typeCreateTopics
	typeDeleteTopics
	typeCreatePartitions
	typeAlterConfigs
	typeOpenPartitions
	typeServePartitions
	typeAssignPartitions
	typePrepareObjects
	typeCommitUpload
	typeTrimStreams
	typeCloseStreams
	typeAllocateProducerIDs
	typeExpireObjects
	typeReapTopics
	typeRemoveObjects
	typeMovePartitions
	typeHandOver
	typeDrainNode
	typeUnregisterNode
	typeCommitCompaction
	typeAddVolume
	typeSetVolume
	typeRemoveVolume
	commandTypes // one past the last
)

const commandVersion = 1

func newCommand(t commandType) Command {
	switch t {
	case typeRegister:
		return &Register{}
	case typeUpdateNode:
		return &UpdateNode{}
	case typeFenceNode:
		return &FenceNode{}
	case typeReportApplied:
		return &ReportApplied{}
	case typeNameController:
		return &NameController{}
	case typeGrantRescue:
		return &GrantRescue{}
	case typeCompleteRescue:
		return &CompleteRescue{}
	case typeForgetRescue:
		return &ForgetRescue{}
	case typeCreateTopics:
		return &CreateTopics{}
	case typeDeleteTopics:
		return &DeleteTopics{}
	case typeCreatePartitions:
		return &CreatePartitions{}
	case typeAlterConfigs:
		return &AlterConfigs{}
	case typeOpenPartitions:
		return &OpenPartitions{}
	case typeServePartitions:
		return &ServePartitions{}
	case typeAssignPartitions:
		return &AssignPartitions{}
	case typePrepareObjects:
		return &PrepareObjects{}
	case typeCommitUpload:
		return &CommitUpload{}
	case typeTrimStreams:
		return &TrimStreams{}
	case typeCloseStreams:
		return &CloseStreams{}
	case typeAllocateProducerIDs:
		return &AllocateProducerIDs{}
	case typeExpireObjects:
		return &ExpireObjects{}
	case typeReapTopics:
		return &ReapTopics{}
	case typeRemoveObjects:
		return &RemoveObjects{}
	case typeMovePartitions:
		return &MovePartitions{}
	case typeHandOver:
		return &HandOver{}
	case typeDrainNode:
		return &DrainNode{}
	case typeUnregisterNode:
		return &UnregisterNode{}
	case typeCommitCompaction:
		return &CommitCompaction{}
	case typeAddVolume:
		return &AddVolume{}
	case typeSetVolume:
		return &SetVolume{}
	case typeRemoveVolume:
		return &RemoveVolume{}
	}
	return nil
}

// CommandName names the command's type, for logs and metrics.
func CommandName(c Command) string {
	return fmt.Sprintf("%T", c)[len("*meta."):]
}

// AppendCommand appends the encoding of cmd to dst. Strings longer than MaxString are a bug of the caller.
func AppendCommand(dst []byte, cmd Command) []byte {
	return appendFrame(dst, uint8(cmd.commandType()), commandVersion, cmd.code)
}

// DecodeCommand decodes one command and returns what follows it. The command does not alias b. Errors have kind Corrupt.
func DecodeCommand(b []byte) (cmd Command, rest []byte, err error) {
	typ, version, body, rest, err := cutFrame(b)
	if err != nil {
		return nil, nil, err
	}
	if cmd = newCommand(commandType(typ)); cmd == nil {
		return nil, nil, base.Errorf(base.Corrupt, "unknown command type %d", typ)
	}
	if err := decodeBody(CommandName(cmd), body, version, commandVersion, cmd.code); err != nil {
		return nil, nil, err
	}
	return cmd, rest, nil
}

func (*Register) commandType() commandType            { return typeRegister }
func (*UpdateNode) commandType() commandType          { return typeUpdateNode }
func (*FenceNode) commandType() commandType           { return typeFenceNode }
func (*ReportApplied) commandType() commandType       { return typeReportApplied }
func (*NameController) commandType() commandType      { return typeNameController }
func (*GrantRescue) commandType() commandType         { return typeGrantRescue }
func (*CompleteRescue) commandType() commandType      { return typeCompleteRescue }
func (*ForgetRescue) commandType() commandType        { return typeForgetRescue }
func (*CreateTopics) commandType() commandType        { return typeCreateTopics }
func (*DeleteTopics) commandType() commandType        { return typeDeleteTopics }
func (*CreatePartitions) commandType() commandType    { return typeCreatePartitions }
func (*AlterConfigs) commandType() commandType        { return typeAlterConfigs }
func (*OpenPartitions) commandType() commandType      { return typeOpenPartitions }
func (*ServePartitions) commandType() commandType     { return typeServePartitions }
func (*AssignPartitions) commandType() commandType    { return typeAssignPartitions }
func (*PrepareObjects) commandType() commandType      { return typePrepareObjects }
func (*CommitUpload) commandType() commandType        { return typeCommitUpload }
func (*TrimStreams) commandType() commandType         { return typeTrimStreams }
func (*CloseStreams) commandType() commandType        { return typeCloseStreams }
func (*AllocateProducerIDs) commandType() commandType { return typeAllocateProducerIDs }
func (*ExpireObjects) commandType() commandType       { return typeExpireObjects }
func (*ReapTopics) commandType() commandType          { return typeReapTopics }
func (*RemoveObjects) commandType() commandType       { return typeRemoveObjects }
func (*MovePartitions) commandType() commandType      { return typeMovePartitions }
func (*HandOver) commandType() commandType            { return typeHandOver }
func (*DrainNode) commandType() commandType           { return typeDrainNode }
func (*UnregisterNode) commandType() commandType      { return typeUnregisterNode }
func (*CommitCompaction) commandType() commandType    { return typeCommitCompaction }

func (m *Register) code(c *coder) {
	c.uuid(&m.Incarnation)
	m.codeID(c)
	c.string(&m.Name)
	c.string(&m.Zone)
	c.endpoints(&m.Endpoints)
	c.string(&m.WAL)
}

// codeID writes a wanted id n as -2-n: a controller that knows no wanted ids refuses it, as a node that never was.
func (m *Register) codeID(c *coder) {
	id := m.Reclaim
	if m.Wanted {
		id = -2 - id
	}
	signed(c, &id)
	if m.Reclaim, m.Wanted = id, id < base.NoNode; m.Wanted {
		m.Reclaim = -2 - id
	}
}

func (m *UpdateNode) code(c *coder) {
	c.nodeRef(&m.Node)
	c.string(&m.Name)
	c.string(&m.Zone)
	c.endpoints(&m.Endpoints)
}

func (m *FenceNode) code(c *coder) {
	c.nodeRef(&m.Node)
	c.string(&m.Why)
}

func (m *ReportApplied) code(c *coder) {
	c.nodeRef(&m.Node)
	unsigned(c, &m.Pos)
}

func (m *NameController) code(c *coder) { c.nodeRef(&m.Node) }

func (m *GrantRescue) code(c *coder) {
	c.nodeRef(&m.Victim)
	c.nodeRef(&m.Rescuer)
}

func (m *CompleteRescue) code(c *coder) {
	c.nodeRef(&m.Victim)
	unsigned(c, &m.Grant)
}

func (m *ForgetRescue) code(c *coder) { c.nodeRef(&m.Victim) }

func (m *CreateTopics) code(c *coder) {
	list(c, &m.Topics, 20, func(t *NewTopic) {
		c.string(&t.Name)
		signed(c, &t.Partitions)
		c.nodeIDs(&t.Leaders)
		c.stringMap(&t.Configs)
		c.uuid(&t.ID)
	})
	c.bool(&m.ValidateOnly)
}

func (m *DeleteTopics) code(c *coder) {
	list(c, &m.Topics, 17, c.topicRef)
}

func (m *CreatePartitions) code(c *coder) {
	list(c, &m.Topics, 19, func(t *MorePartitions) {
		c.topicRef(&t.Topic)
		signed(c, &t.Count)
		c.nodeIDs(&t.Leaders)
	})
	c.bool(&m.ValidateOnly)
}

func (m *AlterConfigs) code(c *coder) {
	list(c, &m.Changes, 4, func(t *ConfigChange) {
		enum(c, &t.Kind, lastConfigKind)
		c.string(&t.Name)
		c.stringMap(&t.Configs)
		unsigned(c, &t.Since)
	})
	c.bool(&m.ValidateOnly)
}

func (m *OpenPartitions) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Partitions, 18, func(p *OpenPartition) {
		c.partitionID(&p.Partition)
		signed(c, &p.Expected)
	})
	c.bool(&m.ServeEmpty)
}

func (m *ServePartitions) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Partitions, 18, func(p *EpochPartition) {
		c.partitionID(&p.Partition)
		signed(c, &p.Epoch)
	})
}

func (m *AssignPartitions) code(c *coder) { c.leaders(&m.Partitions) }
func (m *MovePartitions) code(c *coder)   { c.leaders(&m.Partitions) }

func (c *coder) leaders(p *[]PartitionLeader) {
	list(c, p, 18, func(p *PartitionLeader) {
		c.partitionID(&p.Partition)
		signed(c, &p.Leader)
	})
}

func (m *HandOver) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Partitions, 20, func(p *HandedOver) {
		c.partitionID(&p.Partition)
		signed(c, &p.Epoch)
		signed(c, &p.DataEnd)
		signed(c, &p.MetaEnd)
	})
}

func (m *DrainNode) code(c *coder) {
	c.nodeRef(&m.Node)
	c.bool(&m.Drain)
	c.string(&m.Why)
}

func (m *UnregisterNode) code(c *coder) { signed(c, &m.ID) }

func (m *PrepareObjects) code(c *coder) {
	c.nodeRef(&m.Node)
	signed(c, &m.Count)
}

func (m *CommitUpload) code(c *coder) {
	c.nodeRef(&m.Node)
	unsigned(c, &m.Grant)
	unsigned(c, &m.Number)
	unsigned(c, &m.Trim)
	list(c, &m.Objects, 4, func(o *UploadObject) {
		unsigned(c, &o.ID)
		unsigned(c, &o.Size)
		enum(c, &o.Kind, SO)
		list(c, &o.Ranges, 6, func(r *UploadRange) {
			unsigned(c, &r.Stream)
			signed(c, &r.Epoch)
			c.offsetRange(&r.Range)
			signed(c, &r.Bytes)
			signed(c, &r.MaxTimestamp)
		})
	})
}

func (m *CommitCompaction) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Objects, 3, func(o *CompactedObject) {
		unsigned(c, &o.ID)
		unsigned(c, &o.Size)
		enum(c, &o.Kind, SO)
	})
	list(c, &m.Replacements, 6, func(r *Replacement) {
		unsigned(c, &r.Stream)
		c.offsetRange(&r.Range)
		c.objectIDs(&r.Sources)
		list(c, &r.New, 5, func(n *NewRange) {
			unsigned(c, &n.Object)
			c.offsetRange(&n.Range)
			signed(c, &n.Bytes)
			signed(c, &n.MaxTimestamp)
		})
		c.bool(&r.Cleaned)
	})
}

func (c *coder) offsetRange(p *base.OffsetRange) {
	signed(c, &p.Start)
	signed(c, &p.End)
}

func (m *TrimStreams) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Trims, 3, func(t *StreamTrim) {
		unsigned(c, &t.Stream)
		signed(c, &t.Epoch)
		signed(c, &t.Start)
	})
}

func (m *CloseStreams) code(c *coder) {
	c.nodeRef(&m.Node)
	list(c, &m.Closes, 3, func(t *StreamClose) {
		unsigned(c, &t.Stream)
		signed(c, &t.Epoch)
		signed(c, &t.End)
	})
}

func (m *AllocateProducerIDs) code(c *coder) { c.nodeRef(&m.Node) }

func (m *ExpireObjects) code(c *coder) {
	signed(c, &m.AgeMS)
	signed(c, &m.Limit)
}

func (m *ReapTopics) code(c *coder) { signed(c, &m.Limit) }

func (m *RemoveObjects) code(c *coder) { c.objectIDs(&m.Objects) }
