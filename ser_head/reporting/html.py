"""Html pages and fragments from templates: every value is escaped, and nothing is fetched from elsewhere.

A page is a whole document. A fragment is the same content without a document around it, for the output of a notebook
cell: its style rules apply inside its own element only.
"""

import re
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ser_head.reporting import text

_FILTERS = ("percent", "decimal", "signed", "points", "of_hundred", "p_value", "count")  # functions of `text`
_FRAGMENT = ".ser-head"  # class of the element around a fragment
_PACKAGE = "ser_head.reporting"  # whose `templates` have the page, its style and the macros


def render_page(template: str, *, package: str = _PACKAGE, **context: Any) -> str:
    """Fill in a template of `ser_head/reporting/templates`, or of another package that builds on these.

    Args:
        template: its file name.
        package: the package whose folder `templates` is searched first.
        **context: values for the template, all of them escaped.

    Returns:
        One self-contained html page.
    """
    return _environment(package).get_template(template).render(layout="page.html.j2", **context)


def render_fragment(template: str, **context: Any) -> str:
    """Fill in a template for the output of a notebook cell.

    Args:
        template: file name of a template that extends `layout`.
        **context: values for the template, all of them escaped.

    Returns:
        One self-contained html element with its style, without a page around it.
    """
    templates = _environment()
    style = scoped(templates.get_template("style.css").render(), _FRAGMENT)
    return templates.get_template(template).render(layout="fragment.html.j2", style=style, **context)


def scoped(css: str, scope: str) -> str:
    r"""Confine style rules to one element, so that they change nothing else on the page around it.

    Args:
        css: rules of a page, each beginning on a line of its own; those for print are left out.
        scope: selector of the element, which takes the place of the page.

    >>> scoped("body { margin: 0; }\nh1, .wide td { color: red; }", ".own")
    '.own { margin: 0; }\n.own h1, .own .wide td { color: red; }'
    """

    def confine(rule: re.Match[str]) -> str:
        selectors = [
            scope if selector in (":root", "html", "body") else f"{scope} {selector}"
            for selector in rule["selectors"].split(", ")
        ]
        return ", ".join(selectors) + " {"

    return re.sub(r"^(?P<selectors>[^{}\n]+) \{", confine, css.partition("@media print")[0], flags=re.MULTILINE)


def _environment(package: str = _PACKAGE) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, _PACKAGE))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(text, name) for name in _FILTERS}
    return environment
