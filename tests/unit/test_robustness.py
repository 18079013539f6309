"""docs/robustness.md is generated from the tests' cases."""

from support import robustness


def test_the_page_is_the_one_that_make_robustness_writes():
    text = robustness.PAGE.read_text(encoding="utf-8")
    assert text == robustness.page(), "run make robustness"


def test_no_case_is_listed_twice():
    cases = [case for _, case, _ in robustness.all_cases()]
    assert len(cases) == len(set(cases)) >= 200
