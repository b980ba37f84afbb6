"""The numbers behind an audit's means: per sample, read one metric and probe at a time."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from audit import store as stores
from audit.errors import UnusableInput

Array = NDArray[np.float64]
_REPORTS = ("report.html", "report.pdf")  # drawn from the rest, and read by nobody here


class Samples:
    """What `measurements.parquet` of a published audit holds. Raises UnusableInput where it was lost or edited."""

    def __init__(self, folder: Path) -> None:
        stores.refuse_edited(folder, spare=_REPORTS)
        path = folder / stores.MEASUREMENTS
        if not path.is_file():
            raise UnusableInput(f"{str(path)!r} is missing: run the audit again with --force")
        self._file = pq.ParquetFile(path)
        self._groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for group in range(self._file.num_row_groups):
            keys = self._file.read_row_group(group, columns=["metric", "probe"])
            for key in keys.group_by(["metric", "probe"]).aggregate([]).to_pylist():
                self._groups[key["metric"], key["probe"]].append(group)

    def values(self, metric: str, probe: str, *, layers: int, heads: int) -> Array | None:
        """Float64 [sample, layer, head], or [sample, layer, 1] for a metric of layers; None where nothing was sampled.

        NaN where a sample has no value.
        """
        groups = self._groups.get((metric, probe))
        if not groups:
            return None
        table = self._file.read_row_groups(groups).to_pandas()
        mine = table[(table["metric"] == metric) & (table["probe"] == probe)]
        by_layer = bool(mine["head"].isna().all())
        places = [
            mine["sample"].to_numpy(int),
            mine["layer"].to_numpy(int),
            mine["head"].fillna(0).to_numpy(int),
        ]
        found = np.full((places[0].max() + 1, layers, 1 if by_layer else heads), np.nan)
        found[tuple(places)] = mine["value"].to_numpy(float)
        return found


def paired(before: Array, after: Array) -> tuple[Array, Array]:
    """Both with as many samples, and NaN wherever one of them has none."""
    count = max(len(before), len(after))
    both = [np.full((count, *each.shape[1:]), np.nan) for each in (before, after)]
    for room, each in zip(both, (before, after), strict=True):
        room[: len(each)] = each
    gap = np.isnan(both[0]) | np.isnan(both[1])
    return np.where(gap, np.nan, both[0]), np.where(gap, np.nan, both[1])
