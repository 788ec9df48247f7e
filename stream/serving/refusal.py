"""The version that could not be served last, why, and when it is worth another try."""

from __future__ import annotations

import math

FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0


class Refusal:
    """Of one alias. To load a version takes seconds of what the running model needs.

    So the very same version is tried more and more seldom, for what passes by itself (memory, a
    device), and soon where its files look otherwise or somebody calls for it. version and why are
    empty while none is refused.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """None is refused."""
        self.version = self.why = self._stamp = ""
        self.try_again()

    def try_again(self) -> None:
        """Something changed that may have been the cause."""
        self._wait_s = 0.0
        self._again_at = -math.inf

    def stands(self, version: str, stamp: str, now: float) -> bool:
        """Whether a version whose files have that stamp is not worth another try yet."""
        return (version, stamp) == (self.version, self._stamp) and now < self._again_at

    def note(self, version: str, stamp: str, error: Exception, now: float) -> str:
        """The version was tried and refused; says why, and what happens next."""
        if (version, stamp) != (self.version, self._stamp):
            self.version, self._stamp = version, stamp
            self.try_again()
        self._wait_s = min(max(2 * self._wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
        self._again_at = now + self._wait_s
        self.why = f"{error} ({type(error).__name__})"
        again = f"tried again in {self._wait_s / 60:.0f} min, or once its files or the rules change"
        return f"{self.why}; {again}"
