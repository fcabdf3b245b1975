package handle

// DescribeUserScramCredentials (key 50), version 0; AlterUserScramCredentials (key 51), version 0. Clients send salted passwords, so nothing
// is derived here but two MACs. Users of the users file (sasl-users) are not shown.

import (
	"maps"
	"slices"

	"sluice/broker/auth"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) describeScram(_ *call, req *msg.DescribeUserScramCredentialsRequest) *msg.DescribeUserScramCredentialsResponse {
	img := h.opt.Control.Image()
	resp := new(msg.DescribeUserScramCredentialsResponse)
	resp.SetDefaults()
	counts := map[string]int{}
	var users []string
	for _, u := range req.Users {
		if counts[u.Name]++; counts[u.Name] == 1 {
			users = append(users, u.Name)
		}
	}
	if len(req.Users) == 0 {
		for r := range img.ConfigResources(meta.ScramConfig) {
			users = append(users, r.Name)
		}
	}
	for _, user := range users {
		out := add(&resp.Results)
		out.User = user
		var err error
		if counts[user] > 1 {
			err = kerr.Errorf(kerr.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: %s", user)
		} else {
			for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
				if cred, ok := auth.StoredCredential(img, user, m); ok {
					info := add(&out.CredentialInfos)
					info.Mechanism, info.Iterations = int8(m), int32(cred.Iterations)
				}
			}
			if len(out.CredentialInfos) == 0 {
				err = kerr.Errorf(kerr.ResourceNotFound, "Attempt to describe a user credential that does not exist: %s", user)
			}
		}
		if err != nil { // without one the text is empty, as Kafka's
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
		}
	}
	return resp
}

// scramChange is what is to become of the credential of a user for a mechanism; nil: it is removed.
type scramChange struct {
	user      string
	mechanism auth.Mechanism
	set       *auth.Credential
}

var errNoCredential = kerr.Errorf(kerr.ResourceNotFound, "Attempt to delete a user credential that does not exist")

func (h *Handler) alterScram(c *call, req *msg.AlterUserScramCredentialsRequest) *msg.AlterUserScramCredentialsResponse {
	resp := new(msg.AlterUserScramCredentialsResponse)
	resp.SetDefaults()
	img := h.opt.Control.Image()
	changes := map[string][]scramChange{}
	failed := map[string]error{}
	var order []string
	take := func(ch scramChange, err error) {
		order = append(order, ch.user)
		same := func(o scramChange) bool { return o.mechanism == ch.mechanism }
		if err == nil && slices.ContainsFunc(changes[ch.user], same) {
			err = kerr.Errorf(kerr.DuplicateResource, "A user credential cannot be altered twice in the same request")
		}
		if err != nil && failed[ch.user] == nil {
			failed[ch.user] = err
		}
		changes[ch.user] = append(changes[ch.user], ch)
	}
	for _, d := range req.Deletions {
		ch := scramChange{user: d.Name, mechanism: auth.Mechanism(d.Mechanism)}
		err := checkScramUser(ch)
		if _, ok := auth.StoredCredential(img, d.Name, ch.mechanism); err == nil && !ok {
			err = errNoCredential
		}
		take(ch, err)
	}
	for _, u := range req.Upsertions {
		ch := scramChange{user: u.Name, mechanism: auth.Mechanism(u.Mechanism)}
		err := checkScramUser(ch)
		if err == nil {
			if err = auth.CheckCredential(u.Salt, u.SaltedPassword, int(u.Iterations)); err != nil {
				err = kerr.Errorf(kerr.UnacceptableCredential, "%v", err)
			}
		}
		if err == nil {
			cred := ch.mechanism.FromSalted(u.SaltedPassword, slices.Clone(u.Salt), int(u.Iterations))
			ch.set = &cred
		}
		take(ch, err)
	}
	var good []string
	for user := range changes {
		if failed[user] == nil {
			good = append(good, user)
		}
	}
	outcome := h.changeStored(c.Context(), meta.ScramConfig, good, func(user string, keys map[string]string) {
		for _, ch := range changes[user] {
			if ch.set == nil {
				delete(keys, ch.mechanism.String())
				continue
			}
			keys[ch.mechanism.String()] = ch.set.Encode()
		}
	})
	maps.Copy(failed, outcome)
	slices.Sort(order)
	for _, user := range slices.Compact(order) {
		out := add(&resp.Results)
		out.User, out.ErrorCode, out.ErrorMessage = user, int16(codeOf(failed[user])), messageOf(failed[user])
		if failed[user] == nil {
			h.log.Info("changed the credentials of a user", "user", user, "by", c.session.who, "host", c.session.host)
		}
	}
	return resp
}

func checkScramUser(ch scramChange) error {
	switch {
	case ch.user == "":
		return kerr.Errorf(kerr.UnacceptableCredential, "Username must not be empty")
	case len(ch.user) > 1024:
		return kerr.Errorf(kerr.UnacceptableCredential, "Username is too long")
	case !ch.mechanism.Valid():
		return kerr.Errorf(kerr.UnsupportedSASLMechanism, "Unknown SCRAM mechanism")
	}
	return nil
}
