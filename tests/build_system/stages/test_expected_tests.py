"""Reading a file's tests from its text."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tinytorch_build.stages.expected_tests import ExpectedTest, expected_tests


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def test_a(): pass\nasync def test_b(): pass\ndef check(): pass\n", [("test_a", 1), ("test_b", 2)]),
        ("class TestX:\n    def test_a(self): pass\n    def check(self): pass\n", [("TestX.test_a", 2)]),
        ("class TestX:\n    class TestY:\n        def test_a(self): pass\n", [("TestX.TestY.test_a", 3)]),
        ("class Old(unittest.TestCase):\n    def test_a(self): pass\n", [("Old.test_a", 2)]),
        ("class Helper:\n    def test_a(self): pass\n", []),
        ("class TestX:\n    __test__ = False\n    def test_a(self): pass\n", []),
        ("@pytest.fixture\ndef test_data(): pass\n@fixture(scope='module')\ndef test_more(): pass\n", []),
        ("@pytest.mark.skip\ndef test_a(): pass\n", [("test_a", 2)]),
        ("if True:\n    def test_a(): pass\n", []),
        ("def outer():\n    def test_a(): pass\n", []),
        ("def test_a(: pass\n", []),
        ("\0", []),
    ],
)
def test_what_counts_as_a_test(text: str, expected: list[tuple[str, int]]) -> None:
    assert expected_tests(text.encode()) == tuple(ExpectedTest(name, line) for name, line in expected)


def test_a_second_definition_hides_the_first() -> None:
    text = dedent("""\
        def test_a(): pass
        class TestX:
            def test_a(self): pass
            def test_a(self): pass
        """)
    assert expected_tests(text.encode()) == (
        ExpectedTest("test_a", 1),
        ExpectedTest("TestX.test_a", 3),
        ExpectedTest("TestX.test_a", 4, shadows=3),
    )
