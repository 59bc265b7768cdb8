from pathlib import Path

from unbatch.demo.measures import Mixing, Recovery
from unbatch.demo.table import print_summary
from unbatch.demo.toy import ToyNumbers


def test_every_number_and_file_is_printed(capsys):
    toy = ToyNumbers(
        fitted=Recovery(correlation=0.9876, rmse=0.123, n_genes=77),
        other=Recovery(correlation=0.7654, rmse=0.345, n_genes=77),
        other_method="another",
        naive=Recovery(correlation=0.8765, rmse=0.234, n_genes=77),
        mixing=Mixing(before=0.91, after=0.62, expected=0.53),
        planted=Mixing(before=0.91, after=0.61, expected=0.53),
    )
    long = "[bold]" + "there/" * 30
    files = [Path("there/a.png"), Path("there/b.h5ad")]
    print_summary(toy, Mixing(before=0.81, after=0.72, expected=0.33), files=files, output=Path(long))
    printed = capsys.readouterr().out
    for part in (
        "0.9876",
        "0.123",
        "77 genes",
        "another",
        "0.7654",
        "0.345",
        "0.8765",
        "0.234",
        "0.91",
        "0.62",
        "0.61",
        "0.53",
        "0.81",
        "0.72",
        "0.33",
    ):
        assert part in printed
    assert f"2 files in {Path(long)}:" in printed
    assert "a.png" in printed
    assert "b.h5ad" in printed
