package az

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/request"
)

// failure turns an answer that is no success into an error.
func failure(status int, header http.Header, body []byte) error {
	var said struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	code := header.Get("X-Ms-Error-Code")
	if xml.Unmarshal([]byte(strings.TrimPrefix(string(body), "\ufeff")), &said) == nil && code == "" {
		code = said.Code
	}
	message, _, _ := strings.Cut(said.Message, "\n") // what follows names the request
	kind, hint := kindOf(status, code)
	err := fmt.Errorf("%d %s: %s%s", status, code, message, hint)
	if kind == base.Unknown {
		return err
	}
	return base.Wrap(kind, err)
}

// kindOf classifies an answer; Unknown says nothing for certain.
func kindOf(status int, code string) (kind base.Kind, hint string) {
	switch code {
	case "BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet":
		return base.Exists, ""
	case "ContainerNotFound":
		return base.Invalid, " (does the container of the URL exist?)"
	case "ContainerBeingDeleted", "ContainerDisabled", "AccountIsDisabled":
		return base.Invalid, ""
	case "ServerBusy", "Md5Mismatch", "IncompleteBody":
		return base.Unavailable, "" // the store did nothing and says so, and it may pass
	case "AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation":
		if status == http.StatusUnauthorized {
			return base.Unavailable, " (the identity's token is not accepted)"
		}
		return base.Invalid, " (check AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, and this machine's clock: the store allows 15 minutes)"
	case "AuthorizationFailure", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions":
		return base.Invalid, " (check AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; an identity needs the role Storage Blob Data Contributor, a SAS the permissions rwdlc on the container, and the account's firewall must let this machine in)"
	}
	return request.StatusKind(status), ""
}
