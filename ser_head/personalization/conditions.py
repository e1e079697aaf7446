"""Test conditions: how much is known of the speaker when a clip is scored.

closed         the speaker was in training, and the head is told who it is
unknown        nothing
enrolled:N     N other clips of the speaker, without labels, never the scored ones (fewer where there are not N)
transductive   all clips of the speaker, without labels, the scored ones included, as in most of the literature
plain          nothing, by a head trained on the same clips without personalisation
"""

CLOSED = "closed"
UNKNOWN = "unknown"
ENROLLED = "enrolled"
TRANSDUCTIVE = "transductive"
PLAIN = "plain"
