import re

import pytest


@pytest.fixture
def comes_to():
    """Check what a verdict is, that its sentence holds these words, and that there is a cure where one is due."""

    def check(found, verdict, words):
        assert found.verdict == verdict
        assert re.search(words, found.text), found.text
        assert (found.cure == "") == (verdict == "fine")
        assert "nan" not in found.text

    return check
