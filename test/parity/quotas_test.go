package parity

import (
	"cmp"
	"slices"
	"strings"

	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"quotas": quotas,
})

type (
	quotaPart   = msg.AlterClientQuotasRequestEntityData
	quotaOp     = msg.AlterClientQuotasRequestOpData
	quotaFilter = msg.DescribeClientQuotasRequestComponentData
)

func quotas(s *script) {
	user, client := s.topic("user"), s.topic("client")
	part := func(kind string, name *string) quotaPart { return quotaPart{EntityType: kind, EntityName: name} }
	to := func(key string, value float64) quotaOp { return quotaOp{Key: key, Value: value} }
	s.versions(msg.KeyAlterClientQuotas, func(v int16) {
		alter := func(step string, ops []quotaOp, parts ...quotaPart) {
			s.ask(step, v, &msg.AlterClientQuotasRequest{Entries: []msg.AlterClientQuotasRequestEntryData{{Entity: parts, Ops: ops}}})
		}
		alter("a user", []quotaOp{to("producer_byte_rate", 1e9), to("request_percentage", 250.5)}, part("user", &user))
		alter("a user's client", []quotaOp{to("consumer_byte_rate", 1e9)}, part("client-id", &client), part("user", &user))
		alter("a client id", []quotaOp{to("controller_mutation_rate", 1e6)}, part("client-id", &client))
		alter("a name to be escaped", []quotaOp{to("producer_byte_rate", 1e9)}, part("user", ptr("a&b=c d%/"+user)))
		alter("an address", []quotaOp{to("connection_creation_rate", 10000)}, part("ip", ptr("10.1.2.3")))
		alter("nobody", []quotaOp{to("producer_byte_rate", 1)})
		alter("an unknown kind", []quotaOp{to("producer_byte_rate", 1)}, part("color", ptr("red")))
		alter("an empty name", []quotaOp{to("producer_byte_rate", 1)}, part("user", ptr("")))
		alter("address and user", []quotaOp{to("producer_byte_rate", 1)}, part("ip", ptr("10.1.2.3")), part("user", &user))
		alter("no address", []quotaOp{to("connection_creation_rate", 1)}, part("ip", ptr("not an address")))
		alter("an unknown key", []quotaOp{to("no_such_rate", 1)}, part("user", &user))
		alter("a key of addresses", []quotaOp{to("connection_creation_rate", 1)}, part("user", &user))
		alter("a key of users", []quotaOp{to("producer_byte_rate", 1)}, part("ip", ptr("10.1.2.3")))
		alter("zero", []quotaOp{to("producer_byte_rate", 0)}, part("user", &user))
		alter("negative", []quotaOp{to("request_percentage", -1)}, part("user", &user))
		alter("a fraction of a byte", []quotaOp{to("producer_byte_rate", 1.5)}, part("user", &user))
		alter("too much for a number", []quotaOp{to("connection_creation_rate", 1e12)}, part("ip", ptr("10.1.2.3")))
		alter("a key twice", []quotaOp{to("producer_byte_rate", 1e9), to("producer_byte_rate", 2e9)}, part("user", &user))
		alter("what is not there removed", []quotaOp{{Key: "consumer_byte_rate", Remove: true}}, part("user", &user))
		alter("an unknown key removed", []quotaOp{{Key: "no_such_rate", Remove: true}}, part("user", &user))
		s.ask("only to see", v, &msg.AlterClientQuotasRequest{ValidateOnly: true, Entries: []msg.AlterClientQuotasRequestEntryData{{Entity: []quotaPart{part("user", ptr(user+"2"))}, Ops: []quotaOp{to("producer_byte_rate", 1)}}}})
	})
	exact := func(kind, name string) quotaFilter { return quotaFilter{EntityType: kind, Match: &name} }
	s.published()
	anyOf := func(kind string) quotaFilter { return quotaFilter{EntityType: kind, MatchType: 2} }
	byDefault := func(kind string) quotaFilter { return quotaFilter{EntityType: kind, MatchType: 1} }
	s.versions(msg.KeyDescribeClientQuotas, func(v int16) {
		describe := func(step string, strict bool, filters ...quotaFilter) {
			answer := s.tell(v, &msg.DescribeClientQuotasRequest{Strict: strict, Components: filters}).(*msg.DescribeClientQuotasResponse)
			slices.SortFunc(answer.Entries, func(a, b msg.DescribeClientQuotasResponseEntryData) int {
				return cmp.Or(cmp.Compare(len(a.Entity), len(b.Entity)), strings.Compare(a.Values[0].Key, b.Values[0].Key))
			})
			s.show(step, v, answer)
		}
		describe("the user", true, exact("user", user))
		describe("all of the user", false, exact("user", user))
		describe("the pair", true, exact("user", user), exact("client-id", client))
		describe("the client id", true, exact("client-id", client))
		describe("an address", true, exact("ip", "10.1.2.3"))
		describe("any user, with nothing else", true, anyOf("user"), exact("client-id", client))
		describe("an escaped name", true, exact("user", "a&b=c d%/"+user))
		describe("what was only to be seen", false, exact("user", user+"2"))
		describe("the default user", true, byDefault("user"))
		describe("the user's default client", true, exact("user", user), byDefault("client-id"))
		describe("an unknown kind", true, exact("color", "red"))
		describe("an empty kind", true, exact("", "red"))
		describe("a kind twice", true, exact("user", user), anyOf("user"))
		describe("address and user", true, exact("ip", "10.1.2.3"), anyOf("user"))
		describe("exactly nothing", true, quotaFilter{EntityType: "user"})
		describe("a default with a name", true, quotaFilter{EntityType: "user", MatchType: 1, Match: &user})
		describe("anything with a name", true, quotaFilter{EntityType: "user", MatchType: 2, Match: &user})
		describe("an unknown way to match", true, quotaFilter{EntityType: "user", MatchType: 7, Match: &user})
	})
}
