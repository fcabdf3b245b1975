package gs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/request"
)

// failure turns an answer that is no success into an error.
func failure(status int, _ http.Header, body []byte) error {
	var said struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	text := strings.TrimSpace(string(body))
	reason := ""
	if json.Unmarshal(body, &said) == nil && said.Error.Message != "" {
		text = said.Error.Message
		if len(said.Error.Errors) > 0 {
			reason = said.Error.Errors[0].Reason
		}
	}
	kind, hint := request.StatusKind(status), ""
	switch {
	case status == http.StatusNotFound && strings.Contains(strings.ToLower(text), "bucket"):
		kind, hint = base.Invalid, " (does the bucket of the URL exist?)"
	case status == http.StatusUnauthorized:
		kind, hint = base.Unavailable, " (check GOOGLE_APPLICATION_CREDENTIALS or the service account of the machine)"
	case status == http.StatusForbidden && (reason == "rateLimitExceeded" || reason == "userRateLimitExceeded"):
		kind = base.Unavailable
	case status == http.StatusForbidden:
		hint = " (the service account needs the role Storage Object User on the bucket, and with kmsKey the bucket's service agent needs the key)"
	}
	err := fmt.Errorf("%d %s%s", status, text, hint)
	if reason != "" {
		err = fmt.Errorf("%d %s: %s%s", status, reason, text, hint)
	}
	if kind == base.Unknown {
		return err
	}
	return base.Wrap(kind, err)
}
