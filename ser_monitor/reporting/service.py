"""Reports on a schedule: one for each period once it is over, also those that ended while nothing was running.

`last.json` in the folder of the reports says until when there are reports. Once a minute the clock is compared with it,
so that a machine that slept, a clock that was set, and a database that was away are all the same case: what is due is
made, oldest first, each period once. The file is written after the report; who is killed in between writes that report
again, in the place of itself.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ser_embed.errors import SerError
from ser_embed.files import atomic_write
from ser_embed.reading import expect, input_error_on_read, read_json
from ser_monitor.reporting.periods import Cycle, Period

LAST = "last.json"
MOST_MISSED = 31  # periods that are caught up after a stop; older ones are left out
SETTLING = timedelta(seconds=60)  # after a period's end, until its last events are committed
_CHECK_EVERY_S = 60

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class ReportService:
    """Maker of one report for each period of a cycle.

    Attributes:
        cycle: the periods.
        output: folder of the reports.
        write: writes the report of a period, and describes it in one line.
        first_begin: from when on there are reports at the very first start; None for the last whole period before it.
        clock: tells the present moment.
    """

    cycle: Cycle
    output: Path
    write: Callable[[Period], str]
    first_begin: datetime | None = None
    clock: Callable[[], datetime] = _now
    _trouble: str = field(default="", init=False)

    def due(self) -> list[Period]:
        """Return the periods that are over and have no report, the last `MOST_MISSED` of them.

        Raises:
            InputError: `last.json` is damaged.
        """
        over = self.clock() - SETTLING
        if self.first_begin is None:
            self.first_begin = self.cycle.begin(self.cycle.begin(over) - timedelta(microseconds=1))
        periods = self.cycle.whole_periods(self._last() or self.first_begin, over)
        if len(periods) > MOST_MISSED:
            logger.warning(
                "warning: %d periods before %s were missed and are left out",
                len(periods) - MOST_MISSED,
                periods[-MOST_MISSED].since.isoformat(),
            )
        return periods[-MOST_MISSED:]

    def make_due(self) -> int:
        """Write the reports that are due; return their number.

        Raises:
            SerError: a report could not be written; those before it are.
            OSError: likewise.
        """
        periods = self.due()
        for period in periods:
            logger.info("%s", self.write(period))
            self._note(period.until)
        return len(periods)

    def check(self) -> None:
        """Write the reports that are due; where that fails, say so once, and leave them for the next check."""
        try:
            self.make_due()
        except (SerError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.warning("warning: no report yet, trying again each minute: %s", error)
        else:
            if self._trouble:
                logger.info("reports go on")
            self._trouble = ""

    def run(self) -> None:
        """Write what is due, then check each minute until the process is stopped.

        Raises:
            SerError: the first reports could not be written.
        """
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.blocking import BlockingScheduler

        self.make_due()
        logger.info("next report: after %s", self.cycle.end(self.clock()).astimezone(self.cycle.zone).isoformat())
        scheduler = BlockingScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone=UTC)
        failures: list[BaseException] = []

        def job() -> None:
            try:
                self.check()
            except BaseException as error:
                failures.append(error)
                scheduler.shutdown(wait=False)

        scheduler.add_job(job, "interval", seconds=_CHECK_EVERY_S, coalesce=True, misfire_grace_time=None)
        try:
            scheduler.start()
        finally:
            if scheduler.running:
                scheduler.shutdown()
        if failures:
            raise failures[0]

    def _last(self) -> datetime | None:
        path = self.output / LAST
        if not path.exists():
            return None
        with input_error_on_read(f"expected the moment of the last report in {path}"):
            document: dict[str, Any] = read_json(path)
            until = datetime.fromisoformat(document["until"])
            expect(until.tzinfo is not None, "a moment with its offset", document["until"])
            return until

    def _note(self, until: datetime) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.output / LAST) as draft:
            draft.write_text(f'{{"until": "{until.isoformat()}"}}\n', "utf-8")
