import base64
import io

import numpy as np
import pytest
from PIL import Image

from unbatch.report.heat import MOST_NAMED, heat


def test_few_batches_are_a_table_with_numbers():
    found = heat(np.array([[1.0, 0.25], [0.96, 1.0]]), ["a", "<b>"])
    assert found.names == ("a", "<b>")
    assert [[cell.text for cell in row] for row in found.rows] == [["", "0.25"], ["0.96", ""]]
    assert [[cell.level for cell in row] for row in found.rows] == [[-1, 2], [10, -1]]
    assert found.picture == ""
    assert found.said == "2 by 2 batches; the shares run from 25% to 96%, their median is 60%."


@pytest.mark.parametrize(("n_batches", "side"), [(MOST_NAMED + 1, MOST_NAMED + 1), (900, 300)])
def test_many_batches_are_a_picture(n_batches, side):
    shares = np.zeros((n_batches, n_batches))
    shares[0] = 1
    found = heat(shares, [str(place) for place in range(n_batches)])
    assert found.rows == ()
    data = base64.b64decode(found.picture.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert pixels.shape == (side, side, 3)
    assert pixels[0, 1].tolist() == [253, 231, 36]  # yellow, 1
    assert pixels[1, 0].tolist() == [68, 1, 84]  # dark, 0
    assert pixels[1, 1].tolist() == [128, 128, 128]  # itself
