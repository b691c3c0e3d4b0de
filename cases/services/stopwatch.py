"""Where the time of an upload goes."""

import time


class Stopwatch:
    """Milliseconds by stage, each stage ending with its `lap`."""

    def __init__(self):
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage that began with the last lap, or with the stopwatch."""
        now = time.perf_counter()
        self.timings[stage] = round((now - self._last) * 1000, 2)
        self._last = now

    def server_timing(self) -> str:
        """The stages as the value of a Server-Timing header, which browsers show beside each request."""
        return ", ".join(f"{stage};dur={milliseconds}" for stage, milliseconds in self.timings.items())
