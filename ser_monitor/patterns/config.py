"""Configuration of the watch for unusual patterns: the only home of its defaults and bounds."""

import dataclasses

from ser_embed.options import check_options, option
from ser_monitor.config import MOST_FALSE_ALARMS_PER_HOUR
from ser_monitor.patterns.charts import CHARTS, CusumChart
from ser_monitor.patterns.signals import ACTIVATION


@dataclasses.dataclass(frozen=True)
class PatternConfig:
    """What is watched for unusual stretches, and how many false alarms are accepted. The fields are flags; see help.

    Raises:
        InputError: a value is out of its bounds.
    """

    signals: tuple[str, ...] = option(
        (ACTIVATION,),
        nargs="*",
        metavar="NAME",
        help="what is watched for unusual stretches: activation, unfamiliar, or emotions; without a name, nothing",
    )
    false_alarms_per_hour: float = option(
        0.5,
        parse=float,
        gt=0,
        le=MOST_FALSE_ALARMS_PER_HOUR,
        metavar="N",
        help="false alarms to accept in an hour of speech of a session, all signals together",
    )
    chart: str = option(CusumChart.name, one_of=CHARTS, help="control chart that is kept of each signal")

    def __post_init__(self) -> None:
        object.__setattr__(self, "signals", tuple(self.signals))
        check_options(self)
