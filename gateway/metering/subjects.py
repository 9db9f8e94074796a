"""The settlement of an outcome that was read back from a file.

Refuses to keep addresses on disk: the hold of a request without a key cannot be named from its
outcome; it carries no money, and the reaper releases it after its deadline.
"""

from gateway.admission.ask import Settlement
from gateway.admission.scripts import tag_of
from gateway.metering.event import Event
from gateway.metering.outcomes import WHO_PAYS, Outcome


def settlement_of(event: Event) -> Settlement | None:
    """What Redis must be told; None for a request without a key."""
    if event.key_id is None:
        return None
    subject = f"k:{event.key_id}"
    counts = WHO_PAYS[Outcome(event.outcome)].counts_tpm
    used = (event.cost_tokens or event.reported_tokens or 0) if counts else 0
    return Settlement(
        subject, tag_of(subject), event.product, event.request_id, used, event.cost_tokens
    )
