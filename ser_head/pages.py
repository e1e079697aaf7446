"""Html pages from templates: everything that comes from data is escaped, and nothing is fetched from elsewhere."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, **context: Any) -> str:
    """Fill in a template of `ser_head/templates`.

    Args:
        template: its file name.
        **context: what it shows. Every value is escaped.

    Returns:
        One self-contained html page.
    """
    pages = Environment(
        loader=PackageLoader("ser_head"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"percent": percent, "decimal": decimal, "count": count}
    return pages.get_template(template).render(**context)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 1 in percent, "-" if it is not known."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits, "-" if it is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def count(number: float) -> str:
    """Return a whole number with thin spaces between the thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
