"""Reads numbers from a config.json under the names its family uses, and keeps account of what was not there."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from audit.errors import UnusableInput

# the name of most configurations first; the others are what older families call the same thing
_NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers"),
    "num_attention_heads": (
        "num_attention_heads",
        "n_head",
        "num_heads",
        "n_heads",
        "encoder_attention_heads",
        "attention_heads",
    ),
    "head_dim": ("head_dim", "d_kv"),
    "intermediate_size": (
        "intermediate_size",
        "n_inner",
        "d_ff",
        "ffn_dim",
        "encoder_ffn_dim",
        "hidden_dim",
        "ffn_hidden_size",
    ),
    "hidden_act": ("hidden_act", "activation_function", "hidden_activation", "activation", "dense_act_fn"),
    "initializer_range": ("initializer_range", "init_std"),
    "norm_eps": (
        "layer_norm_eps",
        "layer_norm_epsilon",
        "rms_norm_eps",
        "norm_eps",
        "norm_epsilon",
        "layernorm_epsilon",
    ),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
}
_LARGEST = 10**9
_T = TypeVar("_T", int, float)


class Fields:
    """One configuration; `missing` collects what was asked for in vain and what stands in for it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.missing: list[str] = []

    def raw(self, name: str) -> Any:
        """The value under any of the names, None where there is none."""
        names = _NAMES.get(name, (name,))
        return next((self.config[n] for n in names if self.config.get(n) is not None), None)

    def needed(self, name: str) -> int:
        """A positive whole number that has no default. Raises UnusableInput where it is missing or absurd."""
        value = self.raw(name)
        if value is None:
            others = ", ".join(_NAMES.get(name, ())[1:])
            raise UnusableInput(f"the configuration has no {name!r} (nor {others}): the theory needs it")
        return self._whole(name, value)

    def whole(self, name: str, default: int, why: str) -> int:
        """A positive whole number, or `default`, which is then put on record."""
        value = self.raw(name)
        return self._absent(name, default, why) if value is None else self._whole(name, value)

    def number(self, name: str, default: float, why: str, *, most: float = math.inf) -> float:
        """A positive number up to `most`, or `default`, which is then put on record."""
        value = self.raw(name)
        return self._absent(name, default, why) if value is None else _positive(name, value, most)

    def factor(self, name: str) -> float:
        """A multiplier some families have: 1 where it is not set."""
        value = self.raw(name)
        return 1.0 if value is None else _positive(name, value)

    def flag(self, name: str, *, default: bool) -> bool:
        """A switch. Raises UnusableInput for anything but true and false."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UnusableInput(f"{name} is {value!r} in the configuration: true or false is needed")
        return value

    def count(self, *names: str) -> int:
        """The largest of several counts, 0 where none is set."""
        return max((self._whole(n, v, least=0) for n in names if (v := self.raw(n)) is not None), default=0)

    def _absent(self, name: str, default: _T, why: str) -> _T:
        self.missing.append(f"{name}: {default:g} assumed ({why})")
        return default

    def _whole(self, name: str, value: object, *, least: int = 1) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            raise UnusableInput(
                f"{name} is {value!r} in the configuration: a whole number from {least} to {_LARGEST:,} is needed"
            )
        return value


def _positive(name: str, value: object, most: float = math.inf) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 < value <= most:  # type: ignore[arg-type, operator]
        limit = "" if math.isinf(most) else f" up to {most:g}"
        raise UnusableInput(f"{name} is {value!r} in the configuration: a positive number{limit} is needed")
    return float(value)  # type: ignore[arg-type]
