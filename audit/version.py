"""The version of this engine, which is part of every measurement's identity."""

from importlib.metadata import version

ENGINE = version("attention-audit")
