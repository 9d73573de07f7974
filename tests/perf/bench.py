"""What the measurements of one run share: how thorough it is, and the probe."""

from dataclasses import dataclass

from tests.perf.instance import Probe


@dataclass(frozen=True, slots=True)
class Bench:
    """One run. `share` scales the number of rounds: 1.0 is a full run."""

    probe: Probe
    share: float

    @property
    def is_full(self) -> bool:
        """Whether everything is measured in the size that its row names."""
        return self.share >= 1.0

    def rounds(self, count: int, *, least: int = 5) -> int:
        """Return how many rounds to make where a full run makes `count`."""
        return max(least, int(count * self.share))
