"""Cases about TLS and logins. What the listeners, files and tokens are is told by the environment: see the package's documentation."""
import os
from collections import namedtuple

from runner import Skip, case, check

Login = namedtuple("Login", "address ca cert mechanism user password", defaults=(None, None, None, None, None))

SSL, SASL_SSL, SASL_PLAINTEXT = (os.environ.get(f"COMPAT_{n}") for n in ("SSL", "SASL_SSL", "SASL_PLAINTEXT"))
CA, CERT, TOKEN = (os.environ.get(f"COMPAT_{n}") for n in ("CA", "CERT", "TOKEN"))
OTHER_CA, OTHER_CERT, OLD_TOKEN, OTHER_TOKEN = (os.environ.get(f"COMPAT_{n}") for n in ("OTHER_CA", "OTHER_CERT", "OLD_TOKEN", "OTHER_TOKEN"))
WRONG = "not-the-password"


def welcome(name, login):
    """A record is written and read."""
    def body(k):
        topic = k.topic(f"welcome-{name}")
        value = f"by {name}".encode()
        check(k.write_and_read(login, topic, value), value)
    case(f"security/{name}")(body)


def unwelcome(name, login, said=None):
    """Nothing is written, and nothing hangs."""
    def body(k):
        topic = k.topic(f"unwelcome-{name}")
        try:
            k.write_and_read(login, topic, b"must not be")
        except Skip:
            raise
        except Exception as e:
            if said and k.says_why_not:
                text = f"{type(e).__name__} {e}".lower()
                assert said in text, f"no word of a wrong login: {text}"
        else:
            raise AssertionError("it is let in")
    case(f"security/{name}")(body)


def stranger(name, login):
    """The client is told that its login is wrong, and says so where it can."""
    unwelcome(name, login, "auth")


welcome("certificate", Login(SSL, CA, CERT))
unwelcome("no-certificate", Login(SSL, CA))
unwelcome("certificate-of-another-authority", Login(SSL, CA, OTHER_CERT))
unwelcome("broker-of-another-authority", Login(SSL, OTHER_CA, CERT))
unwelcome("plain-text-to-tls", Login(SSL))
unwelcome("no-login", Login(SASL_PLAINTEXT))
welcome("plain", Login(SASL_SSL, CA, None, "PLAIN", "plain", "secret-of-plain"))
welcome("plain-without-tls", Login(SASL_PLAINTEXT, None, None, "PLAIN", "plain", "secret-of-plain"))
stranger("plain-wrong-password", Login(SASL_SSL, CA, None, "PLAIN", "plain", WRONG))
for size in ("256", "512"):
    mechanism = f"SCRAM-SHA-{size}"
    welcome(f"scram-{size}", Login(SASL_SSL, CA, None, mechanism, "scram", "secret-of-scram"))
    welcome(f"scram-{size}-without-tls", Login(SASL_PLAINTEXT, None, None, mechanism, "scram", "secret-of-scram"))
    stranger(f"scram-{size}-wrong-password", Login(SASL_SSL, CA, None, mechanism, "scram", WRONG))
stranger("scram-512-unknown-user", Login(SASL_SSL, CA, None, "SCRAM-SHA-512", "nobody", WRONG))
welcome("oauthbearer", Login(SASL_SSL, CA, None, "OAUTHBEARER", None, TOKEN))
welcome("oauthbearer-without-tls", Login(SASL_PLAINTEXT, None, None, "OAUTHBEARER", None, TOKEN))
unwelcome("oauthbearer-ended-token", Login(SASL_SSL, CA, None, "OAUTHBEARER", None, OLD_TOKEN))
unwelcome("oauthbearer-unknown-key", Login(SASL_SSL, CA, None, "OAUTHBEARER", None, OTHER_TOKEN))
