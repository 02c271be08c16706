"""What the browser tests do to a page, and how they read it."""

import re
from pathlib import Path

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF = {"light": RULES, "dark": ["color-contrast"]}
"""What a scheme of colours may break: what stands on a page, and where, is the same in both."""


def one_of_each(site, timeline):
    kinds = (
        "index.html",
        "grid.html",
        "run.html",
        "forecasts.html",
        "board-retail-sim-*",
        "cell-retail-sim-seasonal*",
        "cell-retail-sim-gru*",
    )
    return [*(next(iter(site.glob(kind))) for kind in kinds), timeline]


def draw_all(page):
    page.evaluate("document.querySelectorAll('.plot').forEach(node => node.scrollIntoView())")
    for node in page.query_selector_all(".plot"):
        node.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('.plot:not([data-drawn])').length === 0")
    page.evaluate("window.scrollTo(0, 0)")


def first_cells(page, column=3):
    return page.eval_on_selector_all(f"#board tbody tr > :nth-child({column})", "cells => cells.map(cell => cell.textContent)")


def head(page, words):
    return page.locator("#board thead th", has_text=words)


def press(page, words):
    """Click a head where nothing but the head is: its middle may be the way to the glossary."""
    head(page, words).click(position={"x": 4, "y": 4})


def sort_down(page, words):
    press(page, words)
    page.get_by_text(re.compile(f"Sorted by {words}.*, ascending")).wait_for()
    press(page, words)
    page.get_by_text(re.compile(f"Sorted by {words}.*, descending")).wait_for()


def complaints(page):
    """List what axe finds with all charts drawn and all details open: in the light scheme, then what the colours of the dark one break."""
    draw_all(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    return found + violations(page, "dark")


def violations(page, scheme="light"):
    """List what axe finds: the rule and the first places. What passed is neither collected nor handed over."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        """rules => axe.run(document, {runOnly: rules, preload: false, resultTypes: ["violations"]})
            .then(found => found.violations.map(one => [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))]))""",
        RULES_OF[scheme],
    )
    return [tuple(one) for one in found]


def visit_plain(visit, path):
    """Open a page with its scripts blocked; the visit's own checks still run."""
    page = visit(path)
    page.route("**/*.js", lambda route: route.abort())
    page.route(
        path.as_uri(), lambda route: route.fulfill(body=re.sub("<script.*?</script>", "", path.read_text()), content_type="text/html")
    )
    page.goto(path.as_uri())
    return page
