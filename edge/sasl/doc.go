// Package sasl is the server side of SASL: conversations in which a client proves who it is, by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or
// OAUTHBEARER. How the messages travel is package handle's affair.
//
// Invariants:
//
//  1. Who is not proved is not told: a conversation gives a [Login] only with its last step, and after an error no more.
//  2. An unknown user and a wrong password are refused in the same words.
//  3. No secret, and nothing that a client sent, is in an error that is shown or logged; [Refused] holds what a client may see.
//  4. Deriving a key from a password (milliseconds) happens only for users of the users file, once for each mechanism and password.
//
// Goroutines: none, but that a conversation of OAUTHBEARER may wait for keys that are fetched.
package sasl
