"""Settings: the environment is read in one place, and wrong values are told by name."""

from pathlib import Path

import pytest

from audit.errors import UnusableInput
from audit.models.allocator import ENVIRONMENT
from workers.connections import for_celery, without_secret
from workers.settings import child_environment, from_environment, service_environment, socket_path


def settings(**variables):
    return from_environment(environment={f"ATTNAUDIT_{k}": v for k, v in variables.items()})


def test_without_variables_the_embedded_server_of_the_default_store_is_meant():
    """`attnaudit serve` and `attnaudit submit` typed in the same folder find each other."""
    found = settings()
    assert found.redis_url == f"unix://{Path('audits/.service/valkey.sock').absolute()}?db=0"
    assert (found.store, found.model_root, found.max_attempts) == (Path("audits"), None, 3)
    assert found.memory_limit > 2**28


@pytest.mark.parametrize(
    ("given", "size"),
    [("8G", 8 * 2**30), ("512M", 512 * 2**20), ("1.5GiB", 3 * 2**29), ("1000", 1000), ("2gb", 2**31)],
)
def test_sizes_are_read_with_units(given, size):
    """As people write them."""
    assert settings(MEMORY_LIMIT=given).memory_limit == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY_LIMIT", "much"),
        ("TIME_LIMIT", "soon"),
        ("WARM", "yes"),
        ("LOG", "xml"),
        ("MEMORY_LIMIT", "-"),
    ],
)
def test_a_wrong_value_is_told_by_name(name, value):
    """One line with the variable and the value."""
    with pytest.raises(UnusableInput, match=f"ATTNAUDIT_{name}='{value}'".replace("much", "MUCH")):
        settings(**{name: value})


def test_the_url_may_come_from_a_file(tmp_path):
    """As container secrets do."""
    (tmp_path / "secret").write_text("redis://:pass@host/0\n")
    assert settings(REDIS_URL_FILE=str(tmp_path / "secret")).redis_url == "redis://:pass@host/0"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://host:6379/0", "redis://:p%40s%2Fs%3A@host:6379/0"),
        ("rediss://user@host/0", "rediss://user:p%40s%2Fs%3A@host/0"),
        ("unix:///run/v.sock?db=0", "unix://:p%40s%2Fs%3A@/run/v.sock?db=0"),
    ],
)
def test_the_password_may_come_apart_from_the_url(tmp_path, url, whole):
    """The URL in plain sight, the secret in a file; what a password may hold does not break the URL."""
    (tmp_path / "secret").write_text("p@s/s:\n")
    assert settings(REDIS_URL=url, REDIS_PASSWORD_FILE=str(tmp_path / "secret")).redis_url == whole
    assert settings(REDIS_URL=url, REDIS_PASSWORD="p@s/s:").redis_url == whole


def test_two_passwords_and_a_secret_that_is_not_there_are_told(tmp_path):
    """Neither is guessed."""
    with pytest.raises(UnusableInput, match="keep one of the two"):
        settings(REDIS_URL="redis://:a@host/0", REDIS_PASSWORD="b")
    with pytest.raises(UnusableInput, match="ATTNAUDIT_REDIS_PASSWORD_FILE=.*absent.* cannot be read"):
        settings(REDIS_URL="redis://host/0", REDIS_PASSWORD_FILE=str(tmp_path / "absent"))
    assert settings(REDIS_PASSWORD="b").redis_url == settings().redis_url  # the embedded server has none


def test_a_deep_store_gets_a_socket_that_the_system_takes(tmp_path):
    """Socket paths end at about a hundred bytes."""
    deep = tmp_path / ("x" * 120)
    assert len(str(socket_path(deep))) < 104
    assert socket_path(deep) == socket_path(deep)
    assert socket_path(deep) != socket_path(tmp_path / ("y" * 120))


def test_a_child_sees_nothing_of_the_queue():
    """Neither the URL with its password nor anything else of the service."""
    names = set(child_environment(settings(REDIS_URL="redis://:secret@host/0")))
    assert not [name for name in names if name.startswith("ATTNAUDIT_")]
    assert names >= set(ENVIRONMENT)
    assert "ATTNAUDIT_X" in service_environment({"ATTNAUDIT_X": "1"})


@pytest.mark.parametrize(
    ("url", "celery", "shown"),
    [
        ("redis://host:6379/1", "redis://host:6379/1", "redis://host:6379/1"),
        ("rediss://u:p%40ss@host/0", "rediss://u:p%40ss@host/0", "rediss://u:***@host/0"),
        ("redis://:pass@host/0", "redis://:pass@host/0", "redis://:***@host/0"),
        ("unix:///run/v.sock?db=2", "redis+socket:///run/v.sock?virtual_host=2", "unix:///run/v.sock?db=2"),
    ],
)
def test_urls_are_translated_and_shown_without_secret(url, celery, shown):
    """The same server in Celery's words, and in a log."""
    assert for_celery(url) == celery
    assert without_secret(url) == shown
