package handle

import (
	"slices"
	"testing"

	"sluice/base"
	"sluice/broker/auth"
	"sluice/cluster/meta"
	"sluice/edge/kafka"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func TestOnce(t *testing.T) {
	for _, tc := range [][2][]string{{nil, nil}, {{"a"}, {"a"}}, {{"a", "b", "a", "a", "b"}, {"a", "b"}}} {
		list := slices.Clone(tc[0])
		if once(&list, same[string]); !slices.Equal(list, tc[1]) {
			t.Errorf("%q: %q, want %q", tc[0], list, tc[1])
		}
	}
}

// Topics that are asked for in several places are one, and those of which nothing is asked for are left out.
func TestGathered(t *testing.T) {
	type topic = msg.ListOffsetsRequestListOffsetsTopic
	part := func(indexes ...int32) (all []msg.ListOffsetsRequestListOffsetsPartition) {
		for _, i := range indexes {
			all = append(all, msg.ListOffsetsRequestListOffsetsPartition{PartitionIndex: i})
		}
		return all
	}
	for _, tc := range []struct{ in, want []topic }{
		{nil, nil},
		{[]topic{{Name: "a"}}, nil},
		{[]topic{{Name: "a", Partitions: part(1)}}, []topic{{Name: "a", Partitions: part(1)}}},
		{[]topic{{Name: "a", Partitions: part(1)}, {Name: "b", Partitions: part(2)}, {Name: "a", Partitions: part(0, 1)}, {Name: "c"}},
			[]topic{{Name: "a", Partitions: part(1, 0, 1)}, {Name: "b", Partitions: part(2)}}},
	} {
		req := &msg.ListOffsetsRequest{Topics: slices.Clone(tc.in)}
		gatherTopics(req)
		if !slices.EqualFunc(req.Topics, tc.want, func(a, b topic) bool { return a.Name == b.Name && slices.Equal(a.Partitions, b.Partitions) }) {
			t.Errorf("%v: %v, want %v", tc.in, req.Topics, tc.want)
		}
	}
}

func TestAnIsolationLevelThatIsNoneIsRefused(t *testing.T) {
	req := &msg.ListOffsetsRequest{IsolationLevel: 7, Topics: []msg.ListOffsetsRequestListOffsetsTopic{{Name: "a", Partitions: make([]msg.ListOffsetsRequestListOffsetsPartition, 2)}}}
	resp := new(Handler).listOffsets(&call{Request: &kafka.Request{Version: 5}}, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
		t.Fatalf("answered %+v", resp)
	}
	for _, p := range resp.Topics[0].Partitions {
		if kerr.Code(p.ErrorCode) != kerr.UnknownServerError || p.Offset != -1 {
			t.Errorf("answered %+v", p)
		}
	}
}

func TestCheckOps(t *testing.T) {
	v := "1"
	for _, tc := range []struct {
		ops  []alterOp
		code kerr.Code
	}{
		{[]alterOp{{"a", opSet, &v}, {"b", opDelete, nil}}, kerr.None},
		{[]alterOp{{"a", opSet, &v}, {"a", opDelete, nil}}, kerr.InvalidRequest},
		{[]alterOp{{"a", opSet, nil}}, kerr.InvalidRequest},
	} {
		if got := codeOf(checkOps(tc.ops)); got != tc.code {
			t.Errorf("%v: %v, want %v", tc.ops, got, tc.code)
		}
	}
}

// A client that names what it does not know itself is not answered, as by Kafka.
func TestUnknownElementsOfACLs(t *testing.T) {
	good := auth.Filter{Type: 1, Pattern: 1, Operation: 1, Permission: 1}
	if unknownElements(good) {
		t.Errorf("%+v is refused", good)
	}
	for _, change := range []func(*auth.Filter){
		func(f *auth.Filter) { f.Type = 0 }, func(f *auth.Filter) { f.Pattern = 0 }, func(f *auth.Filter) { f.Operation = 0 }, func(f *auth.Filter) { f.Permission = 0 },
	} {
		f := good
		if change(&f); !unknownElements(f) {
			t.Errorf("%+v passes", f)
		}
	}
}

func TestLastParts(t *testing.T) {
	a, b, c := "a", "b", "c"
	type part = msg.AlterClientQuotasRequestEntityData
	e := &quotaEntry{Entity: []part{{EntityType: "user", EntityName: &a}, {EntityType: "client-id", EntityName: &b}, {EntityType: "user", EntityName: &c}}}
	lastParts(e)
	if len(e.Entity) != 2 || e.Entity[0].EntityName != &b || e.Entity[1].EntityName != &c {
		t.Errorf("left is %+v", e.Entity)
	}
}

// A topic to delete is answered once; what names none each time, unless by its name, which is one that is not there.
func TestOnceOfEach(t *testing.T) {
	good, none, byID := meta.TopicRef{Name: "a"}, meta.TopicRef{}, meta.TopicRef{ID: base.UUID{1}}
	if got := onceOfEach([]meta.TopicRef{good, none, good, none, byID, byID}, false); !slices.Equal(got, []meta.TopicRef{good, none, none, byID}) {
		t.Errorf("%+v", got)
	}
	if got := onceOfEach([]meta.TopicRef{good, none, none}, true); !slices.Equal(got, []meta.TopicRef{good, none}) {
		t.Errorf("%+v", got)
	}
	for _, tc := range []struct {
		asked  []meta.TopicRef
		ref    meta.TopicRef
		byName bool
		want   kerr.Code
	}{
		{[]meta.TopicRef{none}, none, true, kerr.UnknownTopicOrPartition},
		{[]meta.TopicRef{none, none}, none, true, kerr.InvalidRequest},
		{[]meta.TopicRef{none}, none, false, kerr.InvalidRequest},
		{[]meta.TopicRef{good, good}, good, true, kerr.InvalidRequest},
		{[]meta.TopicRef{good}, good, true, kerr.None},
	} {
		code := kerr.None
		if err := checkTopicRef(tc.asked, tc.ref, tc.byName); err != nil {
			code = err.Code
		}
		if code != tc.want {
			t.Errorf("%+v of %+v: %v, want %v", tc.ref, tc.asked, code, tc.want)
		}
	}
}
