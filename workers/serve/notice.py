"""What a running `attnaudit serve` leaves in its store for the commands beside it."""

from pathlib import Path
from typing import Final

import msgspec

from workers.settings import Settings

_FILE: Final = "service.json"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service finds checkpoints."""

    model_root: str


def leave(settings: Settings, root: Path) -> None:
    """Write the notice."""
    path = settings.service_folder / _FILE
    path.write_bytes(msgspec.json.encode(Notice(model_root=str(root.absolute()))))


def served_root(settings: Settings) -> Path | None:
    """The model root of the service of this store, where there is one."""
    try:
        return Path(
            msgspec.json.decode((settings.service_folder / _FILE).read_bytes(), type=Notice).model_root
        )
    except (OSError, msgspec.DecodeError):
        return None
