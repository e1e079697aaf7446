"""How figures are written for people: the one place that decides on digits, signs and dashes."""

UNKNOWN = "–"
_SMALLEST_P = 0.001  # what ten thousand resamples can still tell from 0


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 1 in percent."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def signed(difference: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return UNKNOWN if difference is None else f"{difference:+.{digits}f}"


def points(difference: float | None, digits: int = 1) -> str:
    """Return a difference between two shares of 1 in percentage points, with its sign.

    >>> points(0.0314)
    '+3.1'
    """
    return UNKNOWN if difference is None else f"{100 * difference:+.{digits}f}"


def of_hundred(share: float) -> str:
    """Return a share of 1 as a whole number of 100.

    >>> of_hundred(0.704)
    '70 of 100'
    """
    return f"{100 * share:.0f} of 100"


def p_value(value: float | None) -> str:
    """Return a p-value.

    >>> p_value(0.0002), p_value(0.04)
    ('<0.001', '0.040')
    """
    return f"<{_SMALLEST_P}" if value is not None and value < _SMALLEST_P else decimal(value)


def count(number: float) -> str:
    """Return a whole number, its thousands set apart by thin spaces."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
