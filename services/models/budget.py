"""What the gateway lets one request cost at most: its client's X-Max-Charge. Pure.

It refuses, free, what costs more: before anything is computed where the model's tokens can be
counted here, else before the answer is given. So no cap buys an answer below its price.
"""

from dataclasses import dataclass
from typing import Final, Self

from aiohttp import web

from services import wire
from services.api_refusals import Refusal
from services.fields import FieldError

CODE: Final = "MAX_CHARGE_TOO_LOW"
MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Budget:
    """`most_tokens` None: there is no cap, and nothing need be counted before."""

    most_tokens: int | None = None

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """The one that came with the request."""
        text = request.headers.get(wire.BUDGET, "").strip()
        return cls(int(text[:MOST_DIGITS]) if text.isascii() and text.isdigit() else None)

    @property
    def is_set(self) -> bool:
        return self.most_tokens is not None

    def check(self, tokens: int | None) -> None:
        """Raises FieldError where a request that costs `tokens` may not cost so much.

        None: nobody here can tell before.
        """
        if tokens is None or self.most_tokens is None or tokens <= self.most_tokens:
            return
        message = (
            f"This request costs {tokens:,} tokens, and X-Max-Charge allows "
            f"{self.most_tokens:,}; it is not charged"
        )
        told = {"needed_tokens": tokens, "max_charge": self.most_tokens}
        raise FieldError(Refusal(400, CODE, message, facts=told))
