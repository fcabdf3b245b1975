package meta

import "sluice/base"

func (*clusterCreated) recordType() recordType       { return typeClusterCreated }
func (*controllerChanged) recordType() recordType    { return typeControllerChanged }
func (*controllerNamed) recordType() recordType      { return typeControllerNamed }
func (*nodeRegistered) recordType() recordType       { return typeNodeRegistered }
func (*nodeFenced) recordType() recordType           { return typeNodeFenced }
func (*nodeUpdated) recordType() recordType          { return typeNodeUpdated }
func (*nodeApplied) recordType() recordType          { return typeNodeApplied }
func (*rescueGranted) recordType() recordType        { return typeRescueGranted }
func (*rescueCompleted) recordType() recordType      { return typeRescueCompleted }
func (*rescueForgotten) recordType() recordType      { return typeRescueForgotten }
func (*topicCreated) recordType() recordType         { return typeTopicCreated }
func (*partitionsCreated) recordType() recordType    { return typePartitionsCreated }
func (*topicDeleted) recordType() recordType         { return typeTopicDeleted }
func (*rangesReaped) recordType() recordType         { return typeRangesReaped }
func (*partitionsReaped) recordType() recordType     { return typePartitionsReaped }
func (*topicConfigsSet) recordType() recordType      { return typeTopicConfigsSet }
func (*configsSet) recordType() recordType           { return typeConfigsSet }
func (*partitionsOpened) recordType() recordType     { return typePartitionsOpened }
func (*partitionsServed) recordType() recordType     { return typePartitionsServed }
func (*partitionsAssigned) recordType() recordType   { return typePartitionsAssigned }
func (*objectsPrepared) recordType() recordType      { return typeObjectsPrepared }
func (*uploadCommitted) recordType() recordType      { return typeUploadCommitted }
func (*rangesCommitted) recordType() recordType      { return typeRangesCommitted }
func (*streamsTrimmed) recordType() recordType       { return typeStreamsTrimmed }
func (*streamsClosed) recordType() recordType        { return typeStreamsClosed }
func (*objectsMarked) recordType() recordType        { return typeObjectsMarked }
func (*objectsRemoved) recordType() recordType       { return typeObjectsRemoved }
func (*producerIDsAllocated) recordType() recordType { return typeProducerIDsAllocated }
func (*nodeDrained) recordType() recordType          { return typeNodeDrained }
func (*nodeUnregistered) recordType() recordType     { return typeNodeUnregistered }
func (*partitionsTargeted) recordType() recordType   { return typePartitionsTargeted }
func (*partitionsHandedOver) recordType() recordType { return typePartitionsHandedOver }
func (*secretDrawn) recordType() recordType          { return typeSecretDrawn }
func (*objectsCompacted) recordType() recordType     { return typeObjectsCompacted }
func (*rangesReplaced) recordType() recordType       { return typeRangesReplaced }

func (r *clusterCreated) code(c *coder) {
	c.uuid(&r.ID)
	signed(c, &r.MS)
	if c.version >= 2 {
		c.secret(&r.Secret)
	}
}

func (r *secretDrawn) code(c *coder) { c.secret(&r.Secret) }

func (r *controllerChanged) code(c *coder) {
	unsigned(c, &r.Epoch)
	c.string(&r.Who)
	if c.version >= 2 {
		signed(c, &r.Node)
	} else {
		r.Node = base.NoNode
	}
}

func (r *controllerNamed) code(c *coder) { c.nodeRef(&r.Node) }

func (r *nodeRegistered) code(c *coder) {
	c.nodeRef(&r.Node)
	c.uuid(&r.Incarnation)
	c.string(&r.Name)
	c.string(&r.Zone)
	c.endpoints(&r.Endpoints)
	c.string(&r.WAL)
	signed(c, &r.MS)
}

func (r *nodeFenced) code(c *coder) {
	c.nodeRef(&r.Node)
	c.string(&r.Why)
	signed(c, &r.MS)
}

func (r *nodeUpdated) code(c *coder) {
	c.nodeRef(&r.Node)
	c.string(&r.Name)
	c.string(&r.Zone)
	c.endpoints(&r.Endpoints)
}

func (r *nodeApplied) code(c *coder) {
	c.nodeRef(&r.Node)
	unsigned(c, &r.Pos)
}

func (r *nodeDrained) code(c *coder) {
	c.nodeRef(&r.Node)
	c.bool(&r.Drain)
	c.string(&r.Why)
	signed(c, &r.MS)
}

func (r *nodeUnregistered) code(c *coder) { c.nodeRef(&r.Node) }

func (r *rescueGranted) code(c *coder) {
	c.nodeRef(&r.Victim)
	c.nodeRef(&r.Rescuer)
	unsigned(c, &r.Grant)
}

func (r *rescueCompleted) code(c *coder) { c.nodeRef(&r.Victim) }
func (r *rescueForgotten) code(c *coder) { c.nodeRef(&r.Victim) }

func (r *topicCreated) code(c *coder) {
	unsigned(c, &r.Num)
	c.uuid(&r.ID)
	c.string(&r.Name)
	c.stringMap(&r.Configs)
	signed(c, &r.MS)
}

func (r *partitionsCreated) code(c *coder) {
	unsigned(c, &r.Num)
	unsigned(c, &r.From)
	unsigned(c, &r.FirstStream)
	c.nodeIDs(&r.Leaders)
}

func (r *topicDeleted) code(c *coder) { unsigned(c, &r.Num) }

func (r *rangesReaped) code(c *coder) {
	unsigned(c, &r.Stream)
	unsigned(c, &r.Count)
	signed(c, &r.MS)
}

func (r *partitionsReaped) code(c *coder) {
	unsigned(c, &r.Num)
	unsigned(c, &r.From)
	unsigned(c, &r.To)
	c.bool(&r.Last)
	signed(c, &r.MS)
}

func (r *topicConfigsSet) code(c *coder) {
	unsigned(c, &r.Num)
	c.stringMap(&r.Configs)
}

func (r *configsSet) code(c *coder) {
	enum(c, &r.Kind, lastConfigKind)
	c.string(&r.Name)
	c.stringMap(&r.Configs)
}

func (p *part) code(c *coder) {
	unsigned(c, &p.Num)
	unsigned(c, &p.Index)
}

func (r *partitionsOpened) code(c *coder) {
	c.nodeRef(&r.Node)
	list(c, &r.Partitions, 4, func(p *openedPart) {
		p.part.code(c)
		unsigned(c, &p.Epoch)
		c.bool(&p.Serve)
	})
}

func (r *partitionsServed) code(c *coder) {
	list(c, &r.Partitions, 2, func(p *part) { p.code(c) })
}

func (r *partitionsAssigned) code(c *coder) { codeAssigned(c, &r.Partitions) }
func (r *partitionsTargeted) code(c *coder) { codeAssigned(c, &r.Partitions) }

func codeAssigned(c *coder, p *[]assignedPart) {
	list(c, p, 3, func(p *assignedPart) {
		p.part.code(c)
		signed(c, &p.Leader)
	})
}

func (r *partitionsHandedOver) code(c *coder) {
	c.nodeRef(&r.From)
	list(c, &r.Partitions, 5, func(p *handedPart) {
		p.part.code(c)
		unsigned(c, &p.Epoch)
		c.nodeRef(&p.To)
	})
}

func (r *objectsPrepared) code(c *coder) {
	c.nodeRef(&r.Node)
	unsigned(c, &r.First)
	unsigned(c, &r.Count)
	signed(c, &r.MS)
}

func (r *uploadCommitted) code(c *coder) {
	c.nodeRef(&r.Node)
	unsigned(c, &r.Number)
	unsigned(c, &r.Trim)
	c.committedObjects(&r.Objects)
	c.objectIDs(&r.Unused)
	c.skips(&r.Skips)
	signed(c, &r.MS)
}

func (c *coder) committedObjects(p *[]committedObject) {
	list(c, p, 3, func(o *committedObject) {
		unsigned(c, &o.ID)
		unsigned(c, &o.Size)
		enum(c, &o.Kind, SO)
	})
}

func (r *objectsCompacted) code(c *coder) { c.committedObjects(&r.Objects) }

func (r *rangesReplaced) code(c *coder) {
	list(c, &r.Replaced, 6, func(e *replacedRanges) {
		unsigned(c, &e.Stream)
		unsigned(c, &e.First)
		unsigned(c, &e.Count)
		c.bool(&e.Cleaned)
		shift := e.Begin - e.First
		signed(c, &shift)
		if e.Begin = e.First + shift; e.Begin < 0 {
			c.fail("new ranges from %d", e.Begin)
			e.Begin = 0
		}
		list(c, &e.New, 4, func(n *committedPart) {
			unsigned(c, &n.Count)
			unsigned(c, &n.Object)
			unsigned(c, &n.Bytes)
			signed(c, &n.MaxTimestamp)
		})
	})
	signed(c, &r.MS)
}

func (r *rangesCommitted) code(c *coder) {
	list(c, &r.Ranges, 5, func(e *committedRange) {
		unsigned(c, &e.Stream)
		unsigned(c, &e.Count)
		unsigned(c, &e.Object)
		unsigned(c, &e.Bytes)
		signed(c, &e.MaxTimestamp)
	})
}

func (r *streamsTrimmed) code(c *coder) {
	list(c, &r.Streams, 2, func(e *trimmedStream) {
		unsigned(c, &e.Stream)
		unsigned(c, &e.Start)
	})
	signed(c, &r.MS)
}

func (r *streamsClosed) code(c *coder) {
	list(c, &r.Streams, 1, func(e *base.StreamID) { unsigned(c, e) })
}

func (r *objectsMarked) code(c *coder) {
	c.objectIDs(&r.Objects)
	signed(c, &r.MS)
}

func (r *objectsRemoved) code(c *coder) { c.objectIDs(&r.Objects) }

func (r *producerIDsAllocated) code(c *coder) {
	c.nodeRef(&r.Node)
	unsigned(c, &r.First)
	unsigned(c, &r.Count)
}
