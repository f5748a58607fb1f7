"""A request that is not granted: the status of HTTP and a sentence for people."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  an answer of the server's, not a fault in it
    """Why there is no answer.

    Attributes:
        status: of HTTP, 4xx or 5xx.
        sentence: what is wrong and what to do.
        retry_after: seconds after which it may work; None where trying again is no use.
    """

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """Of the response."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
