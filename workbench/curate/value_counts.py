"""How often each value came, in bounded memory and whatever the order of the values.

    counts = ValueCounts()
    counts.add("billing")
    counts.table("topic")  ->  BalanceTable(by="topic", groups=..., distinct=5, effective=2.1)

Up to 50,000 different values everything is exact. Beyond, the values whose hash ends in enough zero bits are still
counted exactly and stand for all (Gibbons, "Distinct sampling", VLDB 2001), and the frequent ones are known from 4,096
counters that are too low by at most a 4,096th of the rows (Misra and Gries, 1982).
"""

from __future__ import annotations

import math

from workbench.core.funnel import BalanceGroup, BalanceTable

_EXACT_UP_TO = 50_000
_COUNTERS = 4_096
_GROUPS = 10


class ValueCounts:
    """Counts strings."""

    def __init__(self, exact_up_to: int = _EXACT_UP_TO, counters: int = _COUNTERS) -> None:
        self.total = 0
        """Values added."""
        self._exact_up_to = exact_up_to
        self._counters = counters
        self._sampled: dict[str, int] = {}
        """Exact counts of one value in 2**level, chosen by hash."""
        self._level = 0
        self._frequent: dict[str, int] = {}
        """Counts that are too low by at most `_missed`."""
        self._missed = 0

    @property
    def exact(self) -> bool:
        """Whether all values were counted, not a sample of them."""
        return self._level == 0

    def add(self, value: str) -> None:
        """Counts one more of `value`."""
        self.total += 1
        if value in self._sampled:
            self._sampled[value] += 1
        elif self._in_sample(value):
            self._sampled[value] = 1
            while len(self._sampled) > self._exact_up_to:
                self._level += 1
                self._sampled = {known: times for known, times in self._sampled.items() if self._in_sample(known)}
        self._add_to_frequent(value)

    def table(self, by: str) -> BalanceTable:
        """The ten most frequent values, how many there are, and how many equally frequent ones would be as diverse."""
        counts = self._known()
        first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_GROUPS]
        rare = [times for value, times in self._sampled.items() if value not in counts]
        stands_for = 2**self._level
        # Shannon entropy: ln(total) - sum(n ln n) / total.
        of_known = math.fsum(times * math.log(times) for times in counts.values())
        of_rare = stands_for * math.fsum(times * math.log(times) for times in rare)
        return BalanceTable(
            by=by,
            groups=tuple(BalanceGroup(value=value, rows=times, share=times / self.total) for value, times in first),
            distinct=len(counts) + stands_for * len(rare),
            effective=math.exp(math.log(self.total) - (of_known + of_rare) / self.total) if self.total else 0.0,
        )

    def _known(self) -> dict[str, int]:
        """Values whose counts are known: all, or those far more frequent than their counters can be wrong."""
        if self.exact:
            return self._sampled
        sure = {value: times for value, times in self._frequent.items() if times > self._missed}
        return {value: self._sampled.get(value, times) for value, times in sure.items()}

    def _in_sample(self, value: str) -> bool:
        if not self._level:
            return True
        import xxhash

        hashed = int(xxhash.xxh3_64_intdigest(value.encode("utf-8", "surrogatepass")))
        return hashed & ((1 << self._level) - 1) == 0

    def _add_to_frequent(self, value: str) -> None:
        if value in self._frequent:
            self._frequent[value] += 1
        elif len(self._frequent) < self._counters:
            self._frequent[value] = 1
        else:
            self._missed += 1
            self._frequent = {known: times - 1 for known, times in self._frequent.items() if times > 1}
