from pathlib import Path

from unbatch.report.steps import STEPS, in_parts

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_steps_are_those_of_the_readme():
    part = README.split("## Which output for which step")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")][1:]
    plain = [(step, use.replace("**", "").replace(" (below)", "")) for step, use in rows]
    assert list(STEPS) == plain


def test_code_is_told_from_words():
    assert in_parts("use `a b`, not `c`") == [("use ", False), ("a b", True), (", not ", False), ("c", True)]
