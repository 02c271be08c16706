import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.board.numbers import clean, plain, seconds, several, signed, span


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.782, ".782"),
        (-0.041, "-.041"),
        (1, "1.000"),
        (0, ".000"),
        (-0.0001, ".000"),
        (1.2041, "1.204"),
        (None, "-"),
        (math.nan, "-"),
        (10.05, "10.050"),
    ],
)
def test_numbers_have_no_zero_before_the_point(x, text):
    assert plain(x) == text


@pytest.mark.parametrize(
    ("x", "text"), [(0.001, "+.001"), (-0.0414, "-.041"), (0.0001, ".000"), (-0.0001, ".000"), (None, "-"), (1.5, "+1.500")]
)
def test_differences_have_a_sign_unless_they_round_to_nothing(x, text):
    assert signed(x) == text


def test_an_interval_is_spelt_in_words_and_absent_when_an_end_is():
    assert span(-0.004, 0.006, signed) == "-.004 to +.006"
    assert span(0.771, 0.792) == ".771 to .792"
    assert span(None, 0.1) == span(0.1, math.nan) == "-"


def test_seconds_are_summed_over_what_is_known():
    assert (seconds(300, 20, 2), seconds(0.3, None, 0.1), seconds(None, math.nan), seconds(9.96)) == ("322", "0.4", "-", "10")


@given(st.text())
def test_clean_text_is_printable_and_on_one_line(text):
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)


def test_clean_text_keeps_what_is_harmless():
    assert clean("naïve [b]模型[/b]  x") == "naïve [b]模型[/b] x"


def test_long_lists_are_counted():
    assert several(["a", "b", "c"], 3) == "a, b, c"
    assert several(["a", "b", "c"], 1) == "a and 2 more"
