"""When a failed delivery is tried again, and when no more."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_REST_S = 60.0


@dataclass(frozen=True, slots=True)
class Retrying:
    """Pauses that grow by `factor` from `first` to `longest` seconds; given up `over` seconds after the first failure.

    A receiver that does not answer at all is left alone for `longest_rest` seconds at most, then asked again with one
    delivery.
    """

    first: float = 5.0
    factor: float = 3.0
    longest: float = 3_600.0
    over: float = 86_400.0
    longest_rest: float = LONGEST_REST_S

    @classmethod
    def within(cls, first: float, longest: float, hours: float) -> Retrying:
        """Pauses from `first` to `longest` seconds, for so many hours."""
        return cls(first=first, longest=longest, over=hours * 3_600, longest_rest=min(longest, LONGEST_REST_S))

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures, with a half of it left to `chance` (0 to 1): receivers that came
        back are not met by everybody at once."""
        return self._grown(failures, self.longest) * (0.5 + chance / 2)

    def rest(self, failures: int, chance: float) -> float:
        """Seconds to leave a receiver alone that did not answer so many times in a row."""
        return self._grown(failures, self.longest_rest) * (0.5 + chance / 2)

    def _grown(self, failures: int, longest: float) -> float:
        steps = min(max(failures - 1, 0), 64)
        return float(min(self.first * self.factor**steps, longest))
