"""What the engine refuses, and what may fail beneath it; each carries what its answer needs.

ModelFault
  Refused             the request is wrong: 400
    UnknownModel, InputTooLong, InputTooLarge, NoPictures, BadPicture, NotOffered
  ModelUnavailable    the model cannot be had: 503
  RemoteFailed        the server behind a remote model failed (502), or is silent or busy (503)
"""

from collections.abc import Sequence


class ModelFault(Exception):
    """The message is public: it is what the client reads."""


class Refused(ModelFault):
    """The request cannot be served by any amount of waiting."""

    code = "INPUT_INVALID"


class UnknownModel(Refused):
    """No deployed model has this name, and no alias."""

    code = "INPUT_MODEL_NOT_FOUND"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"Model {name[:100]!r} not found; known: {', '.join(known)}")
        self.name = name
        self.known = tuple(known)


class InputTooLong(Refused):
    """`tokens` were counted before counting stopped; there may be more."""

    code = "INPUT_TOKEN_LIMIT_EXCEEDED"

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"Input {index} has at least {tokens} tokens; at most {limit} are taken. "
            "Send less, or truncate: true"
        )
        self.index = index
        self.tokens = tokens
        self.limit = limit


class InputTooLarge(Refused):
    """More characters than any text has that is not too long: not even counted."""

    code = "INPUT_TOKEN_LIMIT_EXCEEDED"

    def __init__(self, index: int, characters: int, limit: int) -> None:
        super().__init__(f"Input {index} has {characters} characters; at most {limit} are taken")
        self.index = index


class NoPictures(Refused):
    """A picture came to a model that only reads text."""

    code = "INPUT_IMAGE_NOT_SUPPORTED"

    def __init__(self, index: int, model: str) -> None:
        super().__init__(f"Input {index} is an image; the model {model} takes text only")
        self.index = index


class BadPicture(Refused):
    """The bytes are no picture, or one that is too large to be opened."""

    code = "INPUT_IMAGE_INVALID"

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"Input {index}: {why}")
        self.index = index


class NotOffered(Refused):
    """The model cannot do what was asked."""


class ModelUnavailable(ModelFault):
    """The model is deployed by name, but cannot be had on this machine."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"The model {model} is not available: {why}")
        self.model = model


class RemoteFailed(ModelFault):
    """The server behind a remote model failed; `status` is what our client is answered."""

    def __init__(self, model: str, status: int, why: str) -> None:
        super().__init__(f"The server of the model {model} {why}")
        self.status = status
