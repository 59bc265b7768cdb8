"""A zarr folder that is only read, and of which nothing is run.

Format 2 of zarr has a codec that stores any Python object, and to read such an object back can run any program.
"""

import json
from typing import Any

from zarr.storage import LocalStore

from unbatch._check import InputError
from unbatch.io.places import ZARR_MARKERS

_METADATA = frozenset({*ZARR_MARKERS, ".zarray"})


class HarmlessStore(LocalStore):
    """A folder whose arrays are refused, wherever in it they lie, if unpickling would be a part of reading them."""

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as zarr calls it
        """Give the content of a file, which zarr asks for by its path in the folder."""
        content = await super().get(key, *arguments, **options)
        if content is not None and key.rpartition("/")[2] in _METADATA and b"pickle" in content.to_bytes().lower():
            try:
                described = json.loads(content.to_bytes())
            except ValueError:
                return content  # zarr says what is wrong with it
            if _unpickles(described):
                raise InputError(
                    f"{self.root / key} asks for unpickling, which can run any program: it is not read. Write the data "
                    "again without objects, and trust nothing else that comes from there"
                )
        return content


def _unpickles(described: Any) -> bool:  # noqa: ANN401 - any JSON
    """Find a codec of that name in the description of arrays."""
    if isinstance(described, dict):
        names = [described.get(key) for key in ("id", "name", "object_codec_id")]
        return any(isinstance(name, str) and "pickle" in name.lower() for name in names) or any(
            _unpickles(value) for key, value in described.items() if key != "attributes"
        )
    return isinstance(described, list) and any(_unpickles(value) for value in described)
