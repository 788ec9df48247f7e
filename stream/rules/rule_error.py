"""The error of rules, in a file of its own so that catching it does not load CEL."""

from __future__ import annotations


class RuleError(Exception):
    """A rule file can't be used; the message names file, rule, reason and remedy.

    faults holds every fault that was found, the message only the first.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(faults[0])
        self.faults = faults
