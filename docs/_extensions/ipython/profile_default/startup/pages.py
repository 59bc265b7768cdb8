"""What every notebook of the pages starts with: warnings without the place in this machine's files."""

import warnings


def _one_line(message: Warning | str, category: type[Warning], *_place: object) -> str:
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = _one_line
