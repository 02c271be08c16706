from hypothesis import given
from hypothesis import strategies as st
from report.kit import ATTACK, LONG, MARKUP

from bench.report.chart import mark, wrapped
from bench.report.html import Html, name_of, slug, tag
from bench.report.tables import Head, TableCell, plain_table, sortable


def test_text_and_attributes_are_escaped_and_markup_made_here_is_not():
    made = tag("p", ATTACK, tag("b", "x & y"), title='a"b<c')
    assert made == '<p title="a&quot;b&lt;c">&lt;img src=x onerror="window.hacked=1"&gt;<b>x &amp; y</b></p>'


def test_attributes_that_are_none_or_false_are_left_out_and_names_are_spelt_as_html_spells_them():
    assert tag("a", "x", class_="k", aria_label="y", hidden=True, title=None, href=False) == '<a class="k" aria-label="y" hidden>x</a>'


@given(st.text())
def test_no_text_can_open_a_tag(text):
    assert "<" not in str(name_of(text))[len("<bdi>") : -len("</bdi>")]
    assert "<" not in mark(text)


@given(st.lists(st.text(max_size=30), min_size=2, max_size=2, unique=True))
def test_different_names_never_share_a_file_and_file_names_are_plain(names):
    one, other = (slug("shop", name, beside="id") for name in names)
    assert one != other
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_long_name_on_an_axis_is_broken_but_whole():
    assert wrapped(LONG).replace("<br>", "") == LONG
    assert max(map(len, wrapped(LONG).split("<br>"))) <= 18


def test_a_plain_table_has_a_caption_column_heads_and_a_row_header_and_no_blank_cell():
    made = plain_table("Caption", ("model", "score"), [(MARKUP, ".5"), ("b", "")])
    assert made.count('scope="col"') == 2
    assert made.count('scope="row"') == 2
    assert "<caption>Caption</caption>" in made
    assert '<td class="right"><bdi>.5</bdi></td>' in made
    assert "<bdi>none</bdi>" in made


def test_every_cell_of_the_sortable_table_says_what_it_sorts_and_filters_by():
    rows = [[TableCell("1", order=3), TableCell("m", Html("<a href='x'>m</a>"))]]
    made = sortable("c", [Head("rank", "rank"), Head("model", "model", choices=True)], rows)
    assert '<td data-order="3" data-search="1">' in made
    assert '<th scope="row" data-order="m" data-search="m"><a' in made
    assert '<select data-filter="model">' in made
