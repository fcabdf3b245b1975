// Package cases runs case programs of Kafka clients against a fresh Sluice and a fresh Apache Kafka, compares them case by case, and writes the
// table of docs/compatibility.md. `make compat` runs all of them, `make compat ONLY=franz-go` those whose name contains it.
//
// A client is a block of a client.txt below this folder (see Client). Its program is run as `COMMAND BOOTSTRAP PREFIX`, makes the names of its
// topics, groups and transactional ids of PREFIX, and prints one line for each case:
//
//	case FEATURE/NAME ok
//	case FEATURE/NAME ok ANSWER   the answer has to be the same on both brokers
//	case FEATURE/NAME fail WHY
//	case FEATURE/NAME skip WHY      the client lacks it: this is no case
//	done N
//
// Everything else belongs on stderr. For the feature security its environment names what both brokers have beside the plain listener at BOOTSTRAP:
//
//	COMPAT_SSL, COMPAT_SASL_SSL, COMPAT_SASL_PLAINTEXT   listeners, HOST:PORT; the first one wants a certificate
//	COMPAT_CA, COMPAT_CERT                               PEM files: who signed the brokers' certificates; key and certificate of a client
//	COMPAT_OTHER_CA, COMPAT_OTHER_CERT                   the same of an authority that the brokers do not know, nor it them
//	COMPAT_TOKEN, COMPAT_OLD_TOKEN, COMPAT_OTHER_TOKEN   tokens for OAUTHBEARER: good, ended, signed with a key that the brokers do not know
//
// The user of PLAIN is plain with the password secret-of-plain, that of SCRAM is scram with secret-of-scram. A case has the same name in all clients where it checks the same thing.
//
// Invariants:
//
//  1. A case that does not end with ok and the same answer on both brokers is a difference. It has a line with its reason in differences.txt; one
//     without a line fails the run, and so does a line for a case that is ok on both.
//  2. Both programs ran to their end: the number after done is that of the lines before it, and both printed the same names.
//  3. The page says what the files below results say, which a run with SLUICE_COMPAT_WRITE=1 writes, one for each client it ran.
//
// Programs in Go share their cases: the module in suite holds them, and each client has an adapter to its interface.
package cases
