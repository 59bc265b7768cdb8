import re

import pytest


@pytest.fixture
def comes_to():
    """Check what a verdict is, that its sentence holds these words, and that there is a cure where one is due."""

    def check(found, verdict, words):
        assert found.verdict == verdict
        said = f"{found.text}. {found.cure}" if found.cure else found.text
        assert re.search(words, said), said
        assert (found.cure == "") == (verdict == "fine")
        assert "nan" not in found.text

    return check
