package twin

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// Names gives the same names to what each broker makes up for itself.
type Names struct {
	node       int32
	FirstEpoch int32             // leader epoch of a new partition
	given      map[string]string // "kind value" to name
	values     map[string]string // name to value
	count      map[string]int

	// Skip says what elements of arrays, by what they are about, are left out and not counted; nil: none.
	Skip func(key string) bool
}

// NewNames returns the names of a conversation with a broker of that id.
func NewNames(node int32) *Names {
	return &Names{node: node, given: map[string]string{}, values: map[string]string{}, count: map[string]int{}}
}

// Of returns the name of a value: what it was called, or the next of its kind.
func (n *Names) Of(kind, value string) string {
	key := kind + " " + value
	if n.given[key] == "" {
		n.count[kind]++
		n.Call(kind, value, fmt.Sprintf("%s %d", kind, n.count[kind]))
	}
	return n.given[key]
}

// Known returns the name that a value has been given, if it has one.
func (n *Names) Known(kind, value string) (name string, ok bool) {
	name, ok = n.given[kind+" "+value]
	return name, ok
}

// Node returns the id of the broker.
func (n *Names) Node() int32 { return n.node }

// Value returns the value that has a name.
func (n *Names) Value(name string) (value string, ok bool) {
	value, ok = n.values["<"+name+">"]
	return value, ok
}

// Call says how a value is called.
func (n *Names) Call(kind, value, name string) {
	n.given[kind+" "+value] = "<" + name + ">"
	n.values["<"+name+">"] = value
}

// nowAround is how near to the present a time is called now. Scripts use times that are not.
const nowAround = 10 * time.Minute

func (n *Names) time(ms int64) string {
	if d := time.Since(time.UnixMilli(ms)); d < nowAround && d > -nowAround {
		return "<now>"
	}
	return strconv.FormatInt(ms, 10)
}

func (n *Names) nodeID(id int64) string {
	if id == int64(n.node) {
		return "<node>"
	}
	return strconv.FormatInt(id, 10)
}

func (n *Names) epoch(e int64) string {
	if e < int64(n.FirstEpoch) {
		return strconv.FormatInt(e, 10)
	}
	return fmt.Sprintf("first+%d", e-int64(n.FirstEpoch))
}

func sign(v int64) string { return []string{"negative", "zero", "positive"}[1+min(1, max(-1, v))] }

// ints renders integers whose field says what they are.
func (n *Names) int(field string, v int64) string {
	switch field {
	case "ErrorCode", "TopicConfigErrorCode":
		return kerr.Code(v).String()
	case "NodeId", "BrokerId", "LeaderId", "ReplicaId", "ControllerId", "ReplicaNodes", "IsrNodes", "OfflineReplicas", "PreferredReadReplica":
		return n.nodeID(v)
	case "Port":
		return sign(v)
	case "LeaderEpoch", "Epoch":
		return n.epoch(v)
	case "ProducerId":
		if v >= 0 {
			return n.Of("producer", strconv.FormatInt(v, 10))
		}
	case "CoordinatorEpoch":
		if v >= 0 {
			return n.Of("coordinator epoch", strconv.FormatInt(v, 10))
		}
	case "SessionId":
		if v != 0 {
			return "<session>"
		}
	case "LogAppendTimeMs", "TransactionStartTimeMs", "Timestamp", "LastFetchTimestamp", "LastCaughtUpTimestamp", "LastTimestamp":
		return n.time(v)
	case "TotalBytes", "UsableBytes", "PartitionSize", "FinalizedFeaturesEpoch":
		return sign(v)
	}
	return strconv.FormatInt(v, 10)
}

func (n *Names) string(field, v string) string {
	switch field {
	case "Host", "ClusterId", "LogDir":
		if v != "" {
			return "<" + field + ">"
		}
	case "ResourceName":
		if id, err := strconv.ParseInt(v, 10, 32); err == nil {
			return n.nodeID(id)
		}
	case "MemberId", "Leader":
		if v != "" {
			return n.Of("member", v)
		}
	case "ErrorMessage", "BatchIndexErrorMessage", "Documentation":
		if v != "" {
			return "<text>"
		}
	}
	return strconv.Quote(v)
}

// keyFields tell what an element of an array is about, the first of them that says something.
var keyFields = []string{"Name", "EntityName", "User", "ResourceName", "TransactionalId", "Topic", "TopicName", "GroupId", "TopicId", "Index", "PartitionIndex", "Partition", "PartitionId", "ApiKey", "Key", "MemberId",
	"NodeId", "ReplicaId", "BrokerId", "BatchIndex", "ProducerId", "LogDir"}

// Render flattens a message to lines.
func (n *Names) Render(m any) map[string]string {
	out := map[string]string{}
	n.walk(out, "", "", reflect.ValueOf(m).Elem())
	return out
}

func (n *Names) walk(out map[string]string, path, field string, v reflect.Value) {
	switch x := v.Interface().(type) {
	case base.UUID:
		if out[path] = "<no topic>"; !x.IsZero() {
			out[path] = n.Of("topic", x.String())
		}
		return
	case [][]byte:
		n.walkRecords(out, path, x)
		return
	case []byte:
		if out[path] = "null"; x != nil {
			out[path] = strconv.Quote(string(x))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			out[path] = "null"
			return
		}
		n.walk(out, path, field, v.Elem())
	case reflect.Struct:
		n.callTopic(v)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "ThrottleTimeMs" {
				n.walk(out, strings.TrimPrefix(path+"."+name, "."), name, v.Field(i))
			}
		}
	case reflect.Slice:
		n.walkArray(out, path, field, v)
	case reflect.String:
		out[path] = n.string(field, v.String())
	case reflect.Float64:
		out[path] = strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Bool:
		out[path] = strconv.FormatBool(v.Bool())
	case reflect.Uint16:
		out[path] = strconv.FormatUint(v.Uint(), 10)
	default:
		out[path] = n.int(field, v.Int())
	}
}

// callTopic calls the id of a topic by the topic's name, where both are there.
func (n *Names) callTopic(v reflect.Value) {
	field := v.FieldByName("TopicId")
	if !field.IsValid() {
		return
	}
	id, ok := field.Interface().(base.UUID)
	if !ok || id.IsZero() || n.given["topic "+id.String()] != "" {
		return
	}
	for _, f := range []string{"Name", "TopicName", "Topic"} {
		name := v.FieldByName(f)
		if name.IsValid() && name.Kind() == reflect.Pointer && !name.IsNil() {
			name = name.Elem()
		}
		if name.IsValid() && name.Kind() == reflect.String && name.String() != "" {
			kind := "id of " + name.String()
			n.count[kind]++
			n.Call("topic", id.String(), fmt.Sprintf("%s %d", kind, n.count[kind]))
			return
		}
	}
}

func (n *Names) walkArray(out map[string]string, path, field string, v reflect.Value) {
	if v.IsNil() {
		out[path] = "null"
		return
	}
	if v.Type().Elem().Kind() != reflect.Struct {
		var all []string
		for i := range v.Len() {
			one := map[string]string{}
			n.walk(one, "", field, v.Index(i))
			all = append(all, one[""])
		}
		slices.Sort(all)
		out[path] = strings.Join(all, ", ")
		return
	}
	kept := 0
	for i := range v.Len() {
		key := n.key(v.Index(i))
		if n.Skip != nil && n.Skip(key) {
			continue
		}
		kept++
		at := path + "[" + key + "]"
		for again := 2; out[at] != ""; again++ {
			at = fmt.Sprintf("%s[%s #%d]", path, key, again)
		}
		out[at] = "there"
		n.walk(out, at, "", v.Index(i))
	}
	out[path] = fmt.Sprintf("%d elements", kept)
}

// key says what an element is about.
func (n *Names) key(v reflect.Value) string {
	if parts := v.FieldByName("Entity"); parts.IsValid() && parts.Kind() == reflect.Slice {
		var all []string
		for i := range parts.Len() {
			all = append(all, n.key(parts.Index(i)))
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	for _, name := range keyFields {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		one := map[string]string{}
		n.walk(one, "", name, f)
		if s := one[""]; s != `""` && s != "null" && s != "<no topic>" {
			if t := v.FieldByName("ResourceType"); t.IsValid() {
				s = fmt.Sprintf("%d %s", t.Int(), s)
			}
			if t := v.FieldByName("EntityType"); t.IsValid() {
				s = t.String() + " " + strings.Trim(s, `"`)
			}
			return strings.Trim(s, `"`)
		}
	}
	return ""
}

// walkRecords shows the batches of a Fetch answer.
func (n *Names) walkRecords(out map[string]string, path string, segments [][]byte) {
	if len(segments) == 1 && segments[0] == nil {
		out[path] = "null"
		return
	}
	b := slices.Concat(segments...)
	i := 0
	for bt, err := range batch.All(b) {
		at := fmt.Sprintf("%s[%d]", path, i)
		if i++; err != nil {
			out[at] = "cut short"
			break
		}
		if err := bt.Check(); err != nil {
			out[at+".Error"] = err.Error()
			continue
		}
		out[at] = n.batch(bt)
	}
	out[path] = fmt.Sprintf("%d batches", i)
}

func (n *Names) batch(b batch.Batch) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d-%d attributes %#x epoch %s times %s to %s producer %s epoch %d sequence %d:", b.BaseOffset(), b.LastOffset(), b.Attributes(),
		n.epoch(int64(b.LeaderEpoch())), n.time(b.FirstTimestamp()), n.time(b.MaxTimestamp()), n.int("ProducerId", b.ProducerID()), b.ProducerEpoch(), b.BaseSequence())
	if m, ok := b.Marker(); ok {
		fmt.Fprintf(&s, " marker, commit %v, by %s", m.Commit, n.int("CoordinatorEpoch", int64(m.CoordinatorEpoch)))
		return s.String()
	}
	for r, err := range b.Records(batch.Limits{}) {
		if err != nil {
			fmt.Fprintf(&s, " %v", err)
			break
		}
		if s.Len() < 400 {
			fmt.Fprintf(&s, " %d %s=%.20s at %s", r.OffsetDelta, r.Key, r.Value, n.time(r.Timestamp))
		}
	}
	return s.String()
}
