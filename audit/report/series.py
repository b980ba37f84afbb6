"""The folder in which the report over a series is published: its trend as JSON, HTML and PDF."""

from pathlib import Path
from typing import Final

import msgspec

from audit import store as stores
from audit.compare.records import Trend
from audit.identity import digest_of
from audit.report.rendering import HTML, PDF
from audit.report.trend import html_of, pdf_of

FOLDER: Final = "series"  # below the store
RECORD: Final = "trend.json"


def publish_series(trend: Trend, store: Path, *, pdf: bool = True) -> Path:
    """The folder of the series' report below `store`; one that says the same is there already is left as it is."""
    data = msgspec.json.format(msgspec.json.encode(trend), indent=2) + b"\n"
    name = digest_of(data.decode())[:16]
    target = store / FOLDER / name
    stands = stores.exists(store / FOLDER, name)
    if stands and (not pdf or (target / PDF).is_file()):
        return target
    with stores.attempt(store / FOLDER) as folder, stores.faults_of_the_disk(store):
        (folder / RECORD).write_bytes(data)
        (folder / HTML).write_bytes(html_of(trend))
        if pdf:
            (folder / PDF).write_bytes(pdf_of(trend))
        return stores.publish(folder, store / FOLDER, name, replace=stands)
