package auth

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sluice/cluster/meta"
)

// TokenInfo is what the metadata says of a delegation token: everything but its key, which follows from its id and the secret of the cluster.
type TokenInfo struct {
	ID        string
	Owner     Principal   // who logs in with it
	Requester Principal   // who asked for it
	Renewers  []Principal // who may renew and end it beside the owner
	Issued    time.Time
	Expires   time.Time // if it is not renewed
	Max       time.Time // beyond which it cannot be renewed
}

// OwnedBy reports whether p is the owner or a renewer.
func (t *TokenInfo) OwnedBy(p Principal) bool { return t.Owner == p || slices.Contains(t.Renewers, p) }

// Expired reports whether the token is over at a time.
func (t *TokenInfo) Expired(now time.Time) bool { return t.Expires.Before(now) || t.Max.Before(now) }

// Delegation tokens are kept as configurations of kind meta.TokenConfig: the name is the id, and the keys are owner, requester, issued, expires
// and max (milliseconds since 1970), and renewer.0, renewer.1 and so on.

const renewerKey = "renewer."

// Encode returns the token as it is kept.
func (t *TokenInfo) Encode() map[string]string {
	ms := func(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }
	keys := map[string]string{
		"owner": string(t.Owner), "requester": string(t.Requester), "issued": ms(t.Issued), "expires": ms(t.Expires), "max": ms(t.Max),
	}
	for i, p := range t.Renewers {
		keys[renewerKey+strconv.Itoa(i)] = string(p)
	}
	return keys
}

// ParseToken is the inverse of Encode.
func ParseToken(id string, keys map[string]string) (t TokenInfo, err error) {
	ms := func(name string) time.Time {
		n, bad := strconv.ParseInt(keys[name], 10, 64)
		if bad != nil && err == nil {
			err = fmt.Errorf("%s of a delegation token is no number", name)
		}
		return time.UnixMilli(n)
	}
	t = TokenInfo{ID: id, Owner: Principal(keys["owner"]), Requester: Principal(keys["requester"]), Issued: ms("issued"), Expires: ms("expires"), Max: ms("max")}
	for i := 0; ; i++ {
		p, ok := keys[renewerKey+strconv.Itoa(i)]
		if !ok {
			break
		}
		t.Renewers = append(t.Renewers, Principal(p))
	}
	if t.Owner == "" && err == nil {
		err = fmt.Errorf("a delegation token has no owner")
	}
	return t, err
}

// StoredToken returns the delegation token of an id in an image.
func StoredToken(img *meta.Image, id string) (TokenInfo, bool) {
	keys := img.Configs(meta.TokenConfig, id)
	if keys == nil {
		return TokenInfo{}, false
	}
	t, err := ParseToken(id, keys)
	return t, err == nil
}

// StoredTokens returns the delegation tokens of an image that can be read, by id.
func StoredTokens(img *meta.Image) (all []TokenInfo) {
	for r := range img.ConfigResources(meta.TokenConfig) {
		if t, err := ParseToken(r.Name, r.Configs); err == nil {
			all = append(all, t)
		}
	}
	return all
}

// TokenByKey finds the delegation token with a key.
func TokenByKey(img *meta.Image, secret string, key []byte) (TokenInfo, bool) {
	for _, t := range StoredTokens(img) {
		if hmac.Equal(TokenKey(secret, t.ID), key) {
			return t, true
		}
	}
	return TokenInfo{}, false
}

// TokenKey returns the key of a delegation token, which is the password of who logs in with it, as Kafka makes it.
func TokenKey(secret, id string) []byte {
	h := hmac.New(sha512.New, []byte(secret))
	h.Write([]byte(id))
	return h.Sum(nil)
}

// TokenPassword returns the key of a delegation token as clients give it.
func TokenPassword(secret, id string) string {
	return base64.StdEncoding.EncodeToString(TokenKey(secret, id))
}
