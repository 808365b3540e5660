"""What is missing is said in one sentence, with what to do about it."""

import os
import stat
from pathlib import Path

import pytest

from portalbus.infra.stack import preflight
from portalbus.infra.stack.endpoints import Endpoints
from portalbus.infra.stack.errors import AlreadyRunning, StackError
from portalbus.infra.stack.owner import Ownership, is_locked, owner_of
from portalbus.infra.stack.paths import StateFolder, default_cache, default_home


def test_too_little_disk_space_names_folder_need_and_have(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        preflight.require_disk(tmp_path, 400_000_000, "the downloads", free=lambda folder: 20_000_000)
    assert str(caught.value) == (
        f"there is not enough disk space in {tmp_path} for the downloads (needed: 400 MB, free: 20 MB): "
        "free some, or set PORTALBUS_HOME and PORTALBUS_CACHE to folders on another disk"
    )


def test_disk_space_is_measured_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert preflight.free_bytes(tmp_path / "a/b/c") > 0


def test_a_missing_wheel_is_named_with_its_extra() -> None:
    with pytest.raises(StackError, match=r"the Java runtime is not installed: install the extra"):
        preflight.require_wheels(find=lambda module: None)


def test_a_missing_library_is_named_with_its_package() -> None:
    def load(name: str) -> object:
        raise OSError

    with pytest.raises(StackError, match=r"libz\.so\.1 is missing: install it: apt-get install zlib1g"):
        preflight.require_libraries(load)


def test_this_machine_passes(tmp_path: Path) -> None:
    preflight.check(tmp_path)


def test_a_state_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("99\n")
    with pytest.raises(StackError, match=r"written by another version \(format 99, not 1\)"):
        StateFolder.at(tmp_path).create()


def test_a_state_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot be written"):
        StateFolder.at(tmp_path / "file" / "home").create()


def test_a_state_folder_whose_path_java_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="which Java would misread"):
        StateFolder.at(tmp_path / "a:b").create()


def test_the_folders_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTALBUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORTALBUS_CACHE", str(tmp_path / "cache"))
    assert default_home() == tmp_path / "home"
    assert default_cache() == tmp_path / "cache"


def test_without_environment_the_state_lies_in_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PORTALBUS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_home() == tmp_path / ".portalbus"


def test_a_running_stack_is_not_started_twice(tmp_path: Path) -> None:
    state = StateFolder.at(tmp_path)
    state.create()
    first, second = Ownership(state), Ownership(state)
    first.take()
    try:
        with pytest.raises(AlreadyRunning, match="already running") as caught:
            second.take()
        assert caught.value.pid == os.getpid()
        assert "portalbus down" in caught.value.remedy
        assert is_locked(state)
    finally:
        first.release()
    assert not is_locked(state)
    assert owner_of(state) is None


def test_a_fork_does_not_own_the_stack_of_its_parent(tmp_path: Path) -> None:
    state = StateFolder.at(tmp_path)
    state.create()
    ownership = Ownership(state)
    ownership.take()
    try:
        pid = os.fork()
        if pid == 0:
            os._exit(1 if ownership.held else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert ownership.held
    finally:
        ownership.release()


def test_endpoints_are_private_and_read_back(tmp_path: Path) -> None:
    endpoints = Endpoints("127.0.0.1:1", "http://127.0.0.1:2", "postgresql://u:secret@127.0.0.1:3/d")
    endpoints.write(tmp_path / "endpoints.json")
    assert stat.S_IMODE((tmp_path / "endpoints.json").stat().st_mode) == 0o600
    assert Endpoints.read(tmp_path / "endpoints.json") == endpoints


def test_endpoints_do_not_show_the_password() -> None:
    assert "secret" not in repr(Endpoints("b", "r", "postgresql://u:secret@127.0.0.1:3/d"))
