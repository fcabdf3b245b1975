package handle

// AlterConfigs (key 33), versions 0-2: replaces all settings of a resource (deprecated).
// IncrementalAlterConfigs (key 44), versions 0-1: sets, deletes, appends to and subtracts from single settings.
//
// Topics, brokers (dynamic settings only), groups, telemetry subscriptions, and the level of a broker's logger, which lasts until the broker
// is started again. A resource changes as a whole or not at all; two changes of one resource at the same time do not undo each other.

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/broker/topicconfig"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Operations of IncrementalAlterConfigs.
const (
	opSet      int8 = 0
	opDelete   int8 = 1
	opAppend   int8 = 2
	opSubtract int8 = 3
)

// alteration is a wish to change one resource.
type alteration struct {
	kind    int8
	name    string
	replace bool // all settings, rather than single ones
	ops     []alterOp
}

type alterOp struct {
	name  string
	op    int8
	value *string
}

func (h *Handler) alterConfigs(c *call, req *msg.AlterConfigsRequest) *msg.AlterConfigsResponse {
	wishes := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		wishes[i] = alteration{kind: r.ResourceType, name: r.ResourceName, replace: true}
		for _, kv := range r.Configs {
			wishes[i].ops = append(wishes[i].ops, alterOp{kv.Name, opSet, kv.Value})
		}
	}
	resp := new(msg.AlterConfigsResponse)
	resp.SetDefaults()
	for i, err := range h.alter(c, wishes, req.ValidateOnly) {
		out := add(&resp.Responses)
		out.ResourceType, out.ResourceName = wishes[i].kind, wishes[i].name
		out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
	}
	return resp
}

func (h *Handler) incrementalAlterConfigs(c *call, req *msg.IncrementalAlterConfigsRequest) *msg.IncrementalAlterConfigsResponse {
	wishes := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		wishes[i] = alteration{kind: r.ResourceType, name: r.ResourceName}
		for _, kv := range r.Configs {
			wishes[i].ops = append(wishes[i].ops, alterOp{kv.Name, kv.ConfigOperation, kv.Value})
		}
	}
	resp := new(msg.IncrementalAlterConfigsResponse)
	resp.SetDefaults()
	for i, err := range h.alter(c, wishes, req.ValidateOnly) {
		out := add(&resp.Responses)
		out.ResourceType, out.ResourceName = wishes[i].kind, wishes[i].name
		out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
	}
	return resp
}

// alter carries out the wishes, each for itself, and returns what became of them when the partitions of this node go by them.
func (h *Handler) alter(c *call, wishes []alteration, validateOnly bool) []error {
	errs := make([]error, len(wishes))
	altered := false
	for i, w := range wishes {
		same := func(o alteration) bool { return o.kind == w.kind && o.name == w.name }
		if slices.ContainsFunc(wishes[:i], same) || slices.ContainsFunc(wishes[i+1:], same) {
			errs[i] = kerr.Errorf(kerr.InvalidRequest, "Each resource must appear at most once.")
			continue
		}
		if errs[i] = checkOps(w.ops); errs[i] != nil {
			continue
		}
		if errs[i] = h.alterOne(c.Context(), w, validateOnly); errs[i] == nil && !validateOnly {
			altered = true
			h.log.Info("changed a configuration", "resource", w.name, "type", w.kind, "client", c.client)
		}
	}
	if altered {
		h.inForce(c.Context())
	}
	return errs
}

// alterRetries bounds the attempts when others change the same resource at the same time.
const alterRetries = 10

func (h *Handler) alterOne(ctx context.Context, w alteration, validateOnly bool) error {
	if w.kind == brokerLoggerResource {
		return h.alterLoggers(w, validateOnly)
	}
	for attempt := 0; ; attempt++ {
		img := h.opt.Control.Image()
		change, err := h.change(img, w)
		if err != nil {
			return err
		}
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, &meta.AlterConfigs{Changes: []meta.ConfigChange{change}, ValidateOnly: validateOnly})
		if err == nil {
			err = refusal(res.Errs[0])
		}
		if !h.again(ctx, err, img, attempt) {
			return err
		}
	}
}

// again reports whether a change that was worked out from an image came to nothing because others had changed the same, and can be worked out from a newer one,
// which it waits for.
func (h *Handler) again(ctx context.Context, err error, img *meta.Image, attempt int) bool {
	if meta.CodeOf(err) != meta.Conflict || attempt == alterRetries {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	return h.opt.Control.WaitFor(ctx, img.Pos()+1) == nil
}

// change works out all settings that the resource is to have.
func (h *Handler) change(img *meta.Image, w alteration) (meta.ConfigChange, error) {
	change := meta.ConfigChange{Name: w.name}
	old, lookup, err := h.alterable(img, w, &change)
	missing := err != nil && lookup != nil // what is to be done is looked at first, then the name, then what is set, and then whether there is such a resource
	if err != nil && !missing {
		return change, err
	}
	change.Configs = map[string]string{}
	if !w.replace {
		for k, v := range old {
			change.Configs[k] = v
		}
	}
	for _, op := range w.ops {
		if err := apply(change.Configs, op, definition(lookup, w.kind, op)); err != nil {
			return change, err
		}
	}
	if missing && w.name == "" {
		return change, err
	}
	if wrong := h.validate(img, w.kind, change.Configs); wrong != nil {
		return change, wrong
	}
	return change, err
}

// alterable returns the present settings of the resource and how its definitions are found. With an error these are there if there could be such a resource.
func (h *Handler) alterable(img *meta.Image, w alteration, change *meta.ConfigChange) (old map[string]string, lookup func(string) *topicconfig.Def, err error) {
	switch w.kind {
	case topicResource:
		if w.name == "" {
			return nil, topicconfig.LookupTopic, kerr.Errorf(kerr.InvalidRequest, "Default topic resources are not allowed.")
		}
		topic, ok := img.TopicByName(w.name)
		if !ok {
			return nil, topicconfig.LookupTopic, kerr.Errorf(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", w.name)
		}
		change.Kind, change.Since = meta.TopicConfig, topic.ConfigsPos
		return topic.Configs, topicconfig.LookupTopic, nil
	case brokerResource:
		if id, err := strconv.ParseInt(w.name, 10, 32); w.name != "" && (err != nil || !knownNode(img, base.NodeID(id))) {
			return nil, nil, kerr.Errorf(kerr.InvalidRequest, "There is no broker %q.", w.name)
		}
		for _, op := range w.ops {
			if err := h.alterableBroker(op, w.name == ""); err != nil {
				return nil, nil, err
			}
		}
		return present(img, meta.BrokerConfig, change), topicconfig.LookupBroker, nil
	case groupResource:
		if w.name == "" {
			return nil, topicconfig.LookupGroup, kerr.Errorf(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
		return present(img, meta.GroupConfig, change), topicconfig.LookupGroup, nil
	case clientMetricsResource:
		if w.name == "" {
			return nil, topicconfig.LookupClientMetrics, kerr.Errorf(kerr.InvalidRequest, "Subscription name can't be empty")
		}
		return present(img, meta.ClientMetricsConfig, change), topicconfig.LookupClientMetrics, nil
	}
	return nil, nil, kerr.Errorf(kerr.InvalidRequest, "Resources of type %d cannot be configured.", w.kind)
}

// present completes change with the kind of resource and where its settings last changed, and returns them.
func present(img *meta.Image, kind meta.ConfigKind, change *meta.ConfigChange) map[string]string {
	change.Kind, change.Since = kind, img.Pos()
	return img.Configs(kind, change.Name)
}

// definition finds what an operation is about. Kafka's controller knows the lists of topics and of brokers only, so nothing can be appended to others.
func definition(lookup func(string) *topicconfig.Def, kind int8, op alterOp) *topicconfig.Def {
	if (op.op == opAppend || op.op == opSubtract) && kind != topicResource && kind != brokerResource {
		return nil
	}
	return lookup(op.name)
}

// alterableBroker says why a setting of a broker, or of all, cannot be altered. What nobody knows is kept, as in Kafka, and so is what is said of a listener
// that is not there.
func (h *Handler) alterableBroker(op alterOp, ofAll bool) error {
	def := topicconfig.LookupBroker(op.name)
	listener, _, ofListener := topicconfig.OfListener(op.name)
	switch {
	case def == nil || op.op == opDelete:
	case !def.Dynamic:
		return kerr.Errorf(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", op.name)
	case ofListener && ofAll:
		return kerr.Errorf(kerr.InvalidRequest, "Cannot update these configs at default cluster level: [%s]", op.name)
	case ofListener && h.hasListener(listener):
		return kerr.Errorf(kerr.InvalidRequest, "Cannot set %s: listeners and how they are secured are settings of the start", op.name)
	case !ofListener && def.Refused() != "":
		return kerr.Errorf(kerr.InvalidRequest, "Cannot set %s: %s", op.name, def.Refused())
	}
	return nil
}

// hasListener reports whether this broker has a listener of that name, in either case: Kafka writes it in small letters here.
func (h *Handler) hasListener(name string) bool {
	self, _ := h.opt.Control.Image().Node(h.opt.Node.ID)
	return slices.ContainsFunc(self.Endpoints, func(e meta.Endpoint) bool { return strings.EqualFold(e.Name, name) })
}

func knownNode(img *meta.Image, id base.NodeID) bool {
	_, ok := img.Node(id)
	return ok
}

// apply does one operation on configs. def is the setting's definition, nil if it is not known; validation says so later.
func apply(configs map[string]string, op alterOp, def *topicconfig.Def) error {
	if op.op == opDelete {
		delete(configs, op.name)
		return nil
	}
	if op.value == nil {
		return kerr.Errorf(kerr.InvalidRequest, "Null value not supported for: %s", op.name)
	}
	switch op.op {
	case opSet:
		configs[op.name] = *op.value
		return nil
	case opAppend, opSubtract:
	default:
		return kerr.Errorf(kerr.InvalidRequest, "Unknown operation %d for %s", op.op, op.name)
	}
	if def == nil || def.Type != topicconfig.List {
		verb := map[int8]string{opAppend: "APPEND", opSubtract: "SUBTRACT"}[op.op]
		return kerr.Errorf(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", verb, op.name)
	}
	now, set := configs[op.name]
	if !set {
		now = def.Default
	}
	list := topicconfig.SplitList(now)
	for _, v := range topicconfig.SplitList(*op.value) {
		at := slices.Index(list, v)
		switch {
		case op.op == opAppend && at < 0:
			list = append(list, v)
		case op.op == opSubtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	configs[op.name] = strings.Join(list, ",")
	return nil
}
