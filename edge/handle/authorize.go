package handle

import (
	"reflect"

	"sluice/base"
	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// guard checks what a request asks for before it is served. It may take out of the request what the client may not do, and have that put
// back into the answer, refused (see gate.after); or it returns the answer itself, and the request is not served.
//
// Every API that is offered has an entry in guards, and a test says so; without one a request is refused as soon as there is an authorizer. So an
// API that is new here gets a line there, by Kafka's rules: which operation on which resource, and which error.
type guard func(g *gate, req msg.Message) (answer msg.Message)

// gate is what a guard works with.
type gate struct {
	h *Handler
	c *call
	a *auth.Authorizer
}

// memoKey is a check whose outcome a session remembers.
type memoKey struct {
	op   auth.Operation
	kind auth.ResourceType
	name string
}

// memoMax is how many checks a session remembers: as many as a client with some hundred topics makes over and over.
const memoMax = 1024

// refusalsLogged is how many refusals of one connection are logged.
const refusalsLogged = 100

// may reports whether the client may do op to a resource.
func (g *gate) may(op auth.Operation, kind auth.ResourceType, name string) bool {
	yes, _ := g.check(op, kind, name)
	return yes
}

// check is may, and says whether the session knew.
func (g *gate) check(op auth.Operation, kind auth.ResourceType, name string) (yes, known bool) {
	s := g.c.session
	if s.memoOf != g.a || s.memo == nil || len(s.memo) >= memoMax {
		s.memo, s.memoOf = map[memoKey]bool{}, g.a
	}
	key := memoKey{op, kind, name}
	yes, known = s.memo[key]
	if !known {
		yes = g.a.Allowed(s.who, s.host, op, kind, name)
		s.memo[key] = yes
	}
	return yes, known
}

// must is may, and has a refusal logged, unless the client has been refused that before.
func (g *gate) must(op auth.Operation, kind auth.ResourceType, name string) bool {
	yes, known := g.check(op, kind, name)
	if !yes && !known {
		g.logRefusal(op, kind, name)
	}
	return yes
}

func (g *gate) logRefusal(op auth.Operation, kind auth.ResourceType, name string) {
	s := g.c.session
	if s.loggedOf++; s.loggedOf > refusalsLogged {
		return
	}
	g.h.log.Info("refused", "principal", s.who, "host", s.host, "operation", op, "resource", kind, "name", name, "api", APIName(g.c.Key), "client", g.c.client)
}

func (g *gate) topic(op auth.Operation, name string) bool { return g.must(op, auth.Topic, name) }
func (g *gate) group(op auth.Operation, name string) bool { return g.must(op, auth.Group, name) }
func (g *gate) txn(op auth.Operation, id string) bool     { return g.must(op, auth.TransactionalID, id) }
func (g *gate) cluster(op auth.Operation) bool            { return g.must(op, auth.Cluster, auth.ClusterName) }

// topicID is topic for a topic that is named by its id. A topic that does not exist is left to the handler, which says so: ids are no
// secret.
func (g *gate) topicID(op auth.Operation, id base.UUID) bool {
	t, ok := g.h.opt.Control.Image().TopicByID(id)
	return !ok || g.topic(op, t.Name)
}

// bits returns the operations that the client may do, and 0 without Describe, as Kafka does.
func (g *gate) bits(kind auth.ResourceType, name string) int32 {
	return g.a.Bits(g.c.session.who, g.c.session.host, kind, name)
}

// after has fn change the answer before it is sent.
func (g *gate) after(fn func(resp msg.Message)) { g.c.after = append(g.c.after, fn) }

// split divides a list in place into what keep takes, and the rest.
func split[T any](list *[]T, keep func(*T) bool) (rest []T) {
	kept := (*list)[:0:0]
	for i := range *list {
		if e := &(*list)[i]; keep(e) {
			kept = append(kept, *e)
		} else {
			rest = append(rest, *e)
		}
	}
	if len(rest) > 0 {
		*list = kept
		if kept == nil {
			*list = []T{}
		}
	}
	return rest
}

// guarded makes a guard of a function on one kind of request.
func guarded[Q any, PQ message[Q]](fn func(*gate, *Q) msg.Message) guard {
	return func(g *gate, req msg.Message) msg.Message { return fn(g, (*Q)(req.(PQ))) }
}

// filled is a response with defaults.
type filled[T any] interface {
	*T
	msg.Message
	SetDefaults()
}

// refused returns a response of a type with the error for the whole request, for responses that have a place for it.
func refused[R any, PR filled[R]](code kerr.Code) msg.Message {
	resp := PR(new(R))
	resp.SetDefaults()
	v := reflect.ValueOf(resp).Elem()
	v.FieldByName("ErrorCode").SetInt(int64(code))
	if m := v.FieldByName("ErrorMessage"); m.IsValid() {
		text := refusalText(code)
		m.Set(reflect.ValueOf(&text))
	}
	return resp
}

// refusalText is what Kafka says with a code.
func refusalText(code kerr.Code) string {
	switch code {
	case kerr.TopicAuthorizationFailed:
		return "Topic authorization failed."
	case kerr.GroupAuthorizationFailed:
		return "Group authorization failed."
	case kerr.ClusterAuthorizationFailed:
		return "Cluster authorization failed."
	case kerr.TransactionalIDAuthorizationFailed:
		return "Transactional Id authorization failed."
	}
	return "Authorization failed."
}

// onCluster guards a request that takes one operation on the cluster, or is refused as a whole.
func onCluster[R any, PR filled[R]](op auth.Operation) guard {
	return func(g *gate, _ msg.Message) msg.Message {
		if g.cluster(op) {
			return nil
		}
		return refused[R, PR](kerr.ClusterAuthorizationFailed)
	}
}

// open lets every request pass: whoever may connect may do this.
func open(*gate, msg.Message) msg.Message { return nil }

// pass runs the guard of the call's API, and reports whether the request is to be served. It has answered if not.
func (h *Handler) pass(c *call, req msg.Message) bool {
	a := h.authorizer()
	if a == nil || a.Super(c.session.who) {
		return true
	}
	check, ok := guards[c.Key]
	if !ok {
		c.Abort("no rule says who may ask for " + APIName(c.Key))
		return false
	}
	answer := check(&gate{h, c, a}, req)
	if answer == nil {
		return true
	}
	if p, ok := req.(*msg.ProduceRequest); ok && p.Acks == 0 {
		c.Abort("a batch was refused and acks is 0: the client may not write there")
		return false
	}
	c.reply(answer)
	return false
}
