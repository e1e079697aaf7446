"""Html pages from templates: everything that comes from data is escaped, and nothing is fetched from elsewhere."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ser_head.reporting import text

_WRITTEN_BY = ("percent", "decimal", "signed", "points", "of_hundred", "p_value", "count")


def render_page(template: str, **context: Any) -> str:
    """Fill in a template of `ser_head/reporting/templates`.

    Args:
        template: its file name.
        **context: what it shows. Every value is escaped.

    Returns:
        One self-contained html page.
    """
    pages = Environment(
        loader=PackageLoader("ser_head.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {name: getattr(text, name) for name in _WRITTEN_BY}
    return pages.get_template(template).render(**context)
