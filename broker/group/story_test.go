package group

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the stories' outcomes in testdata")

// TestStories plays the transcripts of testdata: prose, then what clients send, then after "----" all that the machine does about it.
//
//	NAME: join|sync|heartbeat|leave|commit|end|fetch|delete-offsets|delete-group|describe|list|topic-deleted GROUP key=value …
//	wait DURATION          time passes, deadlines fire
//	refuse CODE            the partition's fences refuse the oldest append
//	hold                   appends stay under way …
//	durable [N]            … until they become durable, the N oldest or all; "release" also ends holding
//	heartbeats DURATION GROUP MEMBER GENERATION
//	crash                  the machine is lost; a new one loads what is durable
//	set key=value          a rule is changed, for the next machine
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".story"), func(t *testing.T) {
			old, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			told := tell(t, string(old))
			if *rewrite {
				if err := os.WriteFile(f, []byte(told), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if told != string(old) {
				t.Fatalf("the story went another way (go test -run Stories -rewrite, then look at the diff):\n%s", firstDifference(string(old), told))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1, w[i], g[i])
		}
	}
	return "different lengths"
}

// tell plays a story and returns it with the outcomes that happened.
func tell(t *testing.T, text string) string {
	w := newWorld(t)
	var out strings.Builder
	inOutcome := false
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "----":
			inOutcome = true
			out.WriteString("----\n")
			out.WriteString(w.takeOutput())
		case line == "":
			inOutcome = false
			out.WriteString("\n")
		case inOutcome:
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		default:
			out.WriteString(line + "\n")
			w.do(line)
		}
	}
	w.checkReplay()
	return out.String()
}

// world is a machine, its log and its clock.
type world struct {
	t       *testing.T
	rules   rules
	m       *machine
	fx      coord.Effects
	now     time.Time
	log     []coord.Record
	pending []coord.Append
	held    bool
	names   map[coord.Ticket]string
	ticket  coord.Ticket
	topics  fixedTopics
	out     strings.Builder
}

func testRules() rules {
	ids := 0
	return rules{
		sessionTimeoutMin: 6 * time.Second, sessionTimeoutMax: 30 * time.Minute,
		initialRebalanceDelay: 3 * time.Second, newMemberJoinTimeout: 5 * time.Minute, groupSizeMax: 1 << 31,
		offsetsRetention: 7 * 24 * time.Hour, offsetsCheckInterval: 10 * time.Minute,
		metadataBytesMax: 4096, batchBytesMax: 1 << 20,
		newID: func() string { ids++; return strconv.Itoa(ids) },
		consumerRules: consumerRules{
			consumerSession:  limited{45 * time.Second, 45 * time.Second, time.Minute},
			consumerInterval: limited{5 * time.Second, 5 * time.Second, 15 * time.Second},
			regexRefresh:     40 * time.Second,
			consumersMax:     1 << 31, assignors: []string{"uniform", "range"}, migration: "bidirectional",
			topics: func() Topics { return fixedTopics{version: 1} },
			config: func(string) map[string]string { return nil },
		},
	}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, rules: testRules(), now: time.UnixMilli(1_000_000), names: map[coord.Ticket]string{}, topics: fixedTopics{version: 1}}
	w.rules.topics = func() Topics { return w.topics }
	w.start()
	return w
}

// start loads a new machine from the log.
func (w *world) start() {
	w.m = newMachine(w.rules)
	w.fx, w.pending = coord.Effects{}, nil
	for i, r := range w.log {
		r.Offset = base.Offset(i)
		if err := replay(w.m, r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.m.Loaded(w.now, &w.fx)
	w.perform()
}

func (w *world) perform() {
	for _, n := range w.fx.Notes {
		w.printf("      (%s:", n.Message)
		for i := 0; i+1 < len(n.Args); i += 2 {
			w.printf(" %v=%v", n.Args[i], n.Args[i+1])
		}
		w.printf(")\n")
	}
	for _, a := range w.fx.Appends {
		for _, r := range recordsOf(a) {
			w.printf("      append %s\n", recordText(r))
		}
		w.pending = append(w.pending, a)
	}
	for _, r := range w.fx.Replies {
		name, ok := w.names[r.Ticket]
		if !ok {
			w.t.Fatalf("ticket %d was answered twice, or never given", r.Ticket)
		}
		delete(w.names, r.Ticket)
		w.printf("  %s <- %s\n", name, responseText(r.Response))
	}
	w.fx.Reset()
	if !w.held {
		w.durable(1 << 30)
	}
}

func (w *world) durable(n int) {
	for ; n > 0 && len(w.pending) > 0; n-- {
		a := w.pending[0]
		w.pending = w.pending[1:]
		for _, r := range recordsOf(a) {
			r.Offset = base.Offset(len(w.log))
			w.log = append(w.log, r)
			if err := replay(w.m, r); err != nil {
				w.t.Fatal(err)
			}
		}
		w.m.Applied(w.now, a.Token, &w.fx)
		if w.held {
			w.printf("      durable\n")
		}
		w.perform()
	}
}

func (w *world) wait(d time.Duration) {
	until := w.now.Add(d)
	for {
		next, ok := w.m.Next()
		if !ok || next.After(until) {
			break
		}
		w.now = later(w.now, next)
		before := w.out.Len()
		w.m.Tick(w.now, &w.fx)
		w.perform()
		if out := w.out.String()[before:]; out != "" {
			text := w.out.String()[:before]
			w.out.Reset()
			w.out.WriteString(text + fmt.Sprintf("  after %v:\n", w.now.Sub(until.Add(-d))) + out)
		}
	}
	w.now = until
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.out, format, args...) }

func (w *world) takeOutput() string {
	s := w.out.String()
	w.out.Reset()
	return s
}

func (w *world) step(name string, command any) {
	w.ticket++
	w.names[w.ticket] = name
	w.m.Step(w.now, w.ticket, command, &w.fx)
	w.perform()
}

// do plays one line.
func (w *world) do(line string) {
	name, rest, isCall := strings.Cut(line, ": ")
	if isCall {
		w.step(name, parseCommand(w.t, rest))
		return
	}
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "wait":
		w.wait(duration(w.t, arg))
	case "hold":
		w.held = true
	case "heartbeats": // for DURATION in GROUP by MEMBER under GENERATION, every five minutes
		f := strings.Fields(arg)
		c := &heartbeatCommand{f[1], identity{member: f[2]}, int32(number(w.t, f[3], 0))}
		for end := w.now.Add(duration(w.t, f[0])); w.now.Before(end); w.wait(5 * time.Minute) {
			w.ticket++
			w.m.Step(w.now, w.ticket, c, &w.fx)
			if code := w.fx.Replies[0].Response.(codeResult).code; code != kerr.None {
				w.t.Fatal(code)
			}
			w.fx.Reset()
		}
	case "release":
		w.held = false
		w.durable(1 << 30)
	case "durable":
		w.durable(number(w.t, arg, 1<<30))
	case "refuse":
		a := w.pending[0]
		w.pending = w.pending[1:]
		w.m.Refused(w.now, a.Token, codeNamed(w.t, arg), &w.fx)
		w.perform()
	case "crash":
		clear(w.names)
		w.start()
	case "set":
		w.set(arg)
	case "topic":
		w.topic(arg)
	default:
		w.t.Fatalf("what is %q?", line)
	}
}

func (w *world) set(arg string) {
	key, value, _ := strings.Cut(arg, "=")
	switch key {
	case "migration":
		w.rules.migration = value
	case "size":
		w.rules.groupSizeMax = number(w.t, value, 0)
	case "batch":
		w.rules.batchBytesMax = number(w.t, value, 0)
	case "interval":
		w.rules.consumerAssign = limited{duration(w.t, value), 0, time.Hour}
	case "delay":
		w.rules.initialRebalanceDelay = duration(w.t, value)
	default:
		w.t.Fatalf("set what? %q", arg)
	}
	w.m.rules = w.rules
}

// checkReplay is invariant 9: loading the log gives the durable state the machine has.
func (w *world) checkReplay() {
	w.held = false
	w.durable(1 << 30)
	loaded := newMachine(w.rules)
	for _, r := range w.log {
		if err := replay(loaded, r); err != nil {
			w.t.Fatal(err)
		}
	}
	if live, again := durableState(w.m, w.m), durableState(loaded, w.m); live != again {
		w.t.Fatalf("replay differs from the run\nrun:\n%s\nreplay:\n%s", live, again)
	}
}

// recordsOf are the records that an append puts into the log.
func recordsOf(a coord.Append) []coord.Record {
	if a.Marker != nil {
		return []coord.Record{{ProducerID: a.Marker.ProducerID, Marker: a.Marker}}
	}
	out := slices.Clone(a.Records)
	for i := range out {
		if out[i].ProducerID = -1; a.Producer != nil {
			out[i].ProducerID = a.Producer.ID
		}
	}
	return out
}

func replay(m *machine, r coord.Record) error {
	if r.Marker != nil {
		return m.ReplayMarker(*r.Marker)
	}
	return m.Replay(r)
}

// durableState prints what must be equal in a machine that ran and one that loaded its log: offsets always, and the generation,
// members and assignments of groups that are stable or empty in the one that ran.
func durableState(m, ran *machine) string {
	var b strings.Builder
	for _, g := range m.sorted() {
		if o := ran.find(g.id); o == nil || o.durable && (o.state == stable || o.state == empty) {
			fmt.Fprintf(&b, "%s %v %d %s/%s %s since %d:", g.id, g.state, g.generation, g.protocolType, g.protocol, g.leader, g.since)
			for _, mb := range g.members {
				fmt.Fprintf(&b, " %s(%s) %v %v %x %x", mb.id, mb.instance.name, mb.sessionTimeout, mb.rebalanceTimeout, mb.metadata(g.protocol), mb.assignment)
			}
			b.WriteString("\n")
		}
		if len(g.offsets) > 0 {
			fmt.Fprintf(&b, "%s", g.id)
			for _, k := range g.sortedOffsets() {
				fmt.Fprintf(&b, " %s-%d=%v", k.topic, k.index, g.offsets[k])
			}
			b.WriteString("\n")
		}
		for _, k := range m.pending.keys(g.id) {
			fmt.Fprintf(&b, "%s pending", g.id)
			for _, producer := range slices.Sorted(maps.Keys(m.pending.offsets)) {
				fmt.Fprintf(&b, " %s-%d of %d=%v", k.topic, k.index, producer, m.pending.offsets[producer][g.id][k])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func recordText(r coord.Record) string {
	switch {
	case r.Marker != nil && r.Marker.Commit:
		return fmt.Sprintf("marker of producer %d: committed", r.ProducerID)
	case r.Marker != nil:
		return fmt.Sprintf("marker of producer %d: aborted", r.ProducerID)
	case r.ProducerID >= 0:
		id := r.ProducerID
		r.ProducerID = -1
		return fmt.Sprintf("for producer %d: %s", id, recordText(r))
	}
	key, err := decodeKey(r.Key)
	if err != nil {
		return err.Error()
	}
	switch k := key.(type) {
	case offsetKey:
		if r.Value == nil {
			return fmt.Sprintf("%v: forgotten", k)
		}
		v, err := decodeOffsetValue(r.Value)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%v: offset %d%s", k, v.offset, extra(v))
	case groupKey:
		if r.Value == nil {
			return k.group + ": deleted"
		}
		v, err := decodeGroupValue(r.Value)
		if err != nil {
			return err.Error()
		}
		var members []string
		for _, mv := range v.members {
			data := string(mv.assignment)
			if data != "" && data[0] == 0 {
				data = dataText(mv.assignment)
			}
			members = append(members, fmt.Sprintf("%s:%s", mv.id, data))
		}
		return fmt.Sprintf("%s: generation %d %s/%s leader %s [%s]", k.group, v.generation, v.protocolType, v.protocol, dash(v.leader), strings.Join(members, " "))
	}
	if k, ok := key.(consumerKey); ok {
		return consumerRecordText(k, r.Value)
	}
	return "of another protocol"
}

func extra(v committed) string {
	s := ""
	if v.epoch >= 0 {
		s += fmt.Sprintf(" epoch %d", v.epoch)
	}
	if v.metadata != "" {
		s += fmt.Sprintf(" %.20q", v.metadata)
	}
	if v.expireMS >= 0 {
		s += fmt.Sprintf(" expires after %dms", v.expireMS-v.commitMS)
	}
	if !v.topicID.IsZero() {
		s += fmt.Sprintf(" topic id %c", v.topicID[0])
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

var codeNames = map[kerr.Code]string{kerr.None: "ok"}

func codeText(c kerr.Code) string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return c.String()
}

func codeNamed(t *testing.T, name string) kerr.Code {
	for c := range kerr.Code(200) {
		if c.String() == name {
			return c
		}
	}
	t.Fatalf("no code is called %q", name)
	return 0
}

func codesText(codes []kerr.Code) string {
	texts := make([]string, 0, len(codes))
	for _, c := range codes {
		texts = append(texts, codeText(c))
	}
	return strings.Join(texts, " ")
}

func responseText(response any) string {
	switch r := response.(type) {
	case joinResult:
		return joinText(r)
	case beatResult:
		return beatText(r)
	case describeConsumersResult:
		return consumersText(r)
	case syncResult:
		if r.code != kerr.None {
			return codeText(r.code)
		}
		return fmt.Sprintf("assigned %s by %s/%s", dataText(r.assignment), r.protocolType, r.protocol)
	case codeResult:
		return codeText(r.code)
	case leaveResult:
		if r.code != kerr.None {
			return codeText(r.code)
		}
		return "left: " + codesText(r.members)
	case commitResult:
		return "committed: " + codesText(r.codes)
	case fetchResult:
		if r.code != kerr.None {
			return codeText(r.code)
		}
		s := "offsets:"
		for _, o := range r.offsets {
			if o.code != kerr.None {
				s += fmt.Sprintf(" %s-%d %v", o.partition.topic, o.partition.index, o.code)
				continue
			}
			s += fmt.Sprintf(" %s-%d=%d", o.partition.topic, o.partition.index, o.offset)
			s += extra(committed{epoch: o.epoch, metadata: o.metadata, expireMS: -1, topicID: o.topicID})
		}
		return s
	case deleteOffsetsResult:
		if r.code != kerr.None {
			return codeText(r.code)
		}
		return "forgotten: " + codesText(r.codes)
	case describeResult:
		return describeText(r)
	case listResult:
		s := "groups:"
		for _, g := range r.groups {
			s += fmt.Sprintf(" %s(%s %v)", g.group, dash(g.protocolType), g.state)
		}
		return s
	}
	return fmt.Sprintf("%#v", response)
}

func joinText(r joinResult) string {
	if r.code != kerr.None {
		return strings.TrimSpace(codeText(r.code) + " " + r.member)
	}
	s := fmt.Sprintf("generation %d %s/%s, you are %s, leader %s", r.generation, r.protocolType, r.protocol, r.member, r.leader)
	if r.skip {
		s += ", do not assign"
	}
	for i, m := range r.members {
		if i == 0 {
			s += ", members:"
		}
		s += " " + m.id
		if m.instance.static {
			s += "(" + m.instance.name + ")"
		}
	}
	return s
}

func describeText(r describeResult) string {
	if !r.found {
		return "unknown group"
	}
	s := fmt.Sprintf("%v %s/%s:", r.state, dash(r.protocolType), dash(r.protocol))
	for _, m := range r.members {
		s += fmt.Sprintf(" %s@%s%s:%s", m.id, m.client.id, m.client.host, m.assignment)
	}
	return s
}

// args are the key=value words of a command; words without "=" are flags.
type args map[string]string

func parseCommand(t *testing.T, line string) any {
	words := strings.Fields(line)
	verb, group := words[0], ""
	if len(words) > 1 && !strings.Contains(words[1], "=") {
		group, words = words[1], words[1:]
	}
	a := args{}
	var plain []string
	for _, word := range words[1:] {
		k, v, ok := strings.Cut(word, "=")
		if !ok || strings.Contains(k, "/") {
			plain = append(plain, word)
		}
		a[k] = v
	}
	has := func(k string) bool { _, ok := a[k]; return ok }
	who := identity{member: a["member"]}
	if name, static := a["instance"]; static {
		who.instance = instance{true, name}
	}
	switch verb {
	case "join":
		return &joinCommand{
			client: client{a.or("client", "c"), "/h"}, group: group, identity: who,
			sessionTimeoutMS:   int32(duration(t, a.or("session", "10s")).Milliseconds()),
			rebalanceTimeoutMS: int32(duration(t, a.or("rebalance", "1m")).Milliseconds()),
			protocolType:       a.or("type", "consumer"), protocols: parseProtocols(a.or("protocols", "range:t")),
			reason: a["reason"], idRequired: has("v4"), canSkip: has("v9"),
		}
	case "sync":
		c := &syncCommand{group: group, identity: who, generation: int32(number(t, a["gen"], 0)), protocol: a["protocol"]}
		for _, s := range split(a["assign"]) {
			member, data, _ := strings.Cut(s, ":")
			c.assignments = append(c.assignments, assignment{member, assignmentData(t, data)})
		}
		return c
	case "beat":
		return parseBeat(t, group, a)
	case "consumers":
		return &describeConsumersCommand{group}
	case "heartbeat":
		return &heartbeatCommand{group, who, int32(number(t, a["gen"], 0))}
	case "leave":
		c := &leaveCommand{group: group}
		if has("member") || has("instance") {
			c.members = append(c.members, leavingMember{identity: who})
		}
		for _, s := range split(a["members"]) {
			c.members = append(c.members, leavingMember{identity: identity{member: s}})
		}
		for _, s := range split(a["instances"]) {
			c.members = append(c.members, leavingMember{identity: identity{instance: instance{true, s}}})
		}
		return c
	case "commit":
		c := &commitCommand{group: group, identity: who, generation: int32(number(t, a["gen"], -1)), retentionMS: -1, missing: kerr.IllegalGeneration}
		if has("retention") {
			c.retentionMS = duration(t, a["retention"]).Milliseconds()
		}
		if has("producer") {
			c.producer = &coord.Producer{ID: int64(number(t, a["producer"], 0))}
		}
		for _, p := range plain {
			c.offsets = append(c.offsets, parseOffset(t, p, a))
		}
		return c
	case "end":
		return &endTxnCommand{coord.Marker{ProducerID: int64(number(t, a["producer"], 0)), Commit: has("commit")}}
	case "fetch":
		c := &fetchCommand{group: group, all: has("all"), requireStable: has("stable"), member: a["member"], epoch: int32(number(t, a["epoch"], -1))}
		for _, p := range plain {
			if p == "all" || p == "stable" {
				continue
			}
			o := parseOffset(t, p, a)
			c.partitions = append(c.partitions, fetchPartition{o.partition, o.topicID})
		}
		return c
	case "delete-offsets":
		c := &deleteOffsetsCommand{group: group}
		for _, p := range plain {
			c.partitions = append(c.partitions, parseOffset(t, p, a).partition)
		}
		return c
	case "delete-group":
		return &deleteGroupCommand{group}
	case "topic-deleted":
		return &topicDeletedCommand{name: a["topic"], id: topicID(a["id"])}
	case "describe":
		return &describeCommand{group}
	case "list":
		return &listCommand{states: split(a["states"])}
	}
	t.Fatalf("what is %q?", line)
	return nil
}

func (a args) or(key, otherwise string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return otherwise
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// parseProtocols reads "range:t1+t2,sticky:t1": names with the topics of the consumer subscription.
func parseProtocols(s string) []protocol {
	var all []protocol
	for _, p := range split(s) {
		name, topics, _ := strings.Cut(p, ":")
		all = append(all, protocol{name, subscription(strings.Split(topics, "+")...)})
	}
	return all
}

func subscription(topics ...string) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(len(topics))}
	for _, t := range topics {
		b = append(append(b, 0, byte(len(t))), t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

// parseOffset reads "topic/partition=offset".
func parseOffset(t *testing.T, s string, a args) commitOffset {
	p, offset, _ := strings.Cut(s, "=")
	topic, index, _ := strings.Cut(p, "/")
	meta := a["metadata"]
	if n, ok := strings.CutPrefix(meta, "x*"); ok {
		meta = strings.Repeat("x", number(t, n, 0))
	}
	return commitOffset{
		partition: partitionKey{topic, int32(number(t, index, 0))}, topicID: topicID(a["id"]), offset: int64(number(t, offset, 0)),
		epoch: int32(number(t, a["epoch"], -1)), metadata: meta,
	}
}

func topicID(letter string) (id base.UUID) {
	copy(id[:], letter)
	return id
}

func number(t *testing.T, s string, otherwise int) int {
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
