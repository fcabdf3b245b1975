package rescue

import "sluice/base"

// fate is what the failure of an attempt means.
type fate uint8

const (
	fateRetry  fate = iota // nothing: go on trying
	fateReach              // the WAL, or the bucket, is out of reach: go on trying; another node may do better
	fatePerson             // somebody has to look at it; go on trying, slowly
)

// fateOf classifies the error of an attempt; nil is fateRetry: there is none yet, or it succeeds.
func fateOf(err error) fate {
	if err == nil {
		return fateRetry
	}
	switch base.KindOf(err) {
	case base.NotFound, base.Unavailable:
		return fateReach
	case base.Fenced, base.Closed, base.Undetermined, base.Full, base.Failed:
		return fateRetry
	default:
		return fatePerson
	}
}
