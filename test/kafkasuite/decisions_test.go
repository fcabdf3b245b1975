package kafkasuite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/broker/auth"
	"sluice/test/broker"
)

// question is one that both authorizers are asked.
type question struct {
	text   string // for Kafka's, and for people
	world  string // the ACLs and settings that it is about
	answer bool   // of Sluice's
}

// asked draws sets of ACLs and questions about them, from few enough names that they meet.
type asked struct {
	r         *rand.Rand
	script    strings.Builder
	questions []question
}

var (
	aclNames   = []string{"*", "a", "ab", "abc", "abcd", "b", "ba", "a.b", "a*"}
	askedNames = append([]string{"abcde", "c", "a.b.c"}, aclNames...)
	principals = []string{"User:*", "User:x", "User:y", "User:CN=z,O=example", "Group:x"}
	askers     = []string{"User:x", "User:y", "User:CN=z,O=example", "User:s", "User:ANONYMOUS"}
	aclHosts   = []string{"*", "10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1"}
	askedHosts = []string{"10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// round draws one set of ACLs and asks about it.
func (q *asked) round(questions int) {
	everyone, super := q.r.IntN(3) == 0, pick(q.r, []string{"", "User:s", "User:s;User:y"})
	var acls []auth.ACL
	var world strings.Builder
	fmt.Fprintf(&world, "new\t%s\t%v\n", super, everyone)
	for range q.r.IntN(12) {
		a := q.acl()
		if slices.Contains(acls, a) { // no broker keeps one twice
			continue
		}
		acls = append(acls, a)
		fmt.Fprintf(&world, "acl\t%d\t%d\t%s\t%s\t%s\t%d\t%d\n", a.Type, a.Pattern.Pattern, a.Name, a.Principal, a.Host, a.Operation, a.Permission)
	}
	q.script.WriteString(world.String())
	own := auth.Compile(acls, auth.ParsePrincipals(strings.Split(super, ";")), everyone)
	for range questions {
		who, host, kind := auth.Principal(pick(q.r, askers)), pick(q.r, askedHosts), q.kind()
		op := pick(q.r, auth.Operations(kind))
		var text string
		var answer bool
		if q.r.IntN(5) == 0 {
			text, answer = fmt.Sprintf("any\t%s\t%s\t%d\t%d", who, host, op, kind), own.AllowedAny(who, host, op, kind)
		} else {
			name := q.name(kind, askedNames)
			text, answer = fmt.Sprintf("ask\t%s\t%s\t%d\t%d\t%s", who, host, op, kind, name), own.Allowed(who, host, op, kind, name)
		}
		q.script.WriteString(text + "\n")
		q.questions = append(q.questions, question{text, world.String(), answer})
	}
}

func (q *asked) kind() auth.ResourceType {
	return pick(q.r, []auth.ResourceType{auth.Topic, auth.Topic, auth.Topic, auth.Group, auth.Cluster, auth.TransactionalID, auth.DelegationToken, auth.UserResource})
}

func (q *asked) name(kind auth.ResourceType, names []string) string {
	if kind == auth.Cluster {
		return auth.ClusterName
	}
	return pick(q.r, names)
}

func (q *asked) acl() auth.ACL {
	kind := q.kind()
	a := auth.ACL{
		Pattern:   auth.Pattern{Type: kind, Pattern: pick(q.r, []auth.PatternType{auth.Literal, auth.Prefixed}), Name: q.name(kind, aclNames)},
		Principal: auth.Principal(pick(q.r, principals)), Host: pick(q.r, aclHosts),
		Operation: pick(q.r, append([]auth.Operation{auth.All}, auth.Operations(kind)...)), Permission: pick(q.r, []auth.Permission{auth.Allow, auth.Allow, auth.Deny}),
	}
	return a
}

// TestDecisions: Sluice's authorizer decides as Kafka's StandardAuthorizer.
func TestDecisions(t *testing.T) {
	const rounds, perRound = 1200, 40
	script := filepath.Join(broker.Root(), "test", "kafkasuite", "kafkasuite")
	if out, err := exec.Command(script, "fetch").CombinedOutput(); err != nil {
		t.Fatalf("fetch: %v\n%s", err, out)
	}
	seed := uint64(time.Now().UnixNano())
	q := &asked{r: rand.New(rand.NewPCG(seed, 0))}
	for range rounds {
		q.round(perRound)
	}
	cmd := exec.Command(script, "decisions")
	cmd.Stdin = strings.NewReader(q.script.String())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, errs.Bytes())
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(q.questions) {
		t.Fatalf("seed %d: %d answers to %d questions", seed, len(answers), len(q.questions))
	}
	allowed, wrong := 0, 0
	for i, question := range q.questions {
		yes := answers[i] == "1"
		if yes {
			allowed++
		}
		if yes != question.answer {
			if wrong++; wrong <= 5 {
				t.Errorf("seed %d: Kafka says %v, Sluice %v to %q about\n%s", seed, yes, question.answer, question.text, question.world)
			}
		}
	}
	t.Logf("seed %d: %d questions, %d allowed, %d answered otherwise than by Kafka", seed, len(answers), allowed, wrong)
	if allowed < len(answers)/20 || allowed > len(answers)*19/20 {
		t.Errorf("seed %d: %d of %d allowed: the questions are not a test", seed, allowed, len(answers))
	}
}
