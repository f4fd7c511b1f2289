"""Where machine code is kept on disk: damaged files, folders that cannot be written or are not ours, and locks."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastmoments_kernels import storage
from fastmoments_kernels.storage import Store
from tests.processes import ROOT


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary directory of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def unwritable(tmp_path):
    """A folder that nobody can make, not even root."""
    file = tmp_path / "file"
    file.touch()
    return file / "folder"


def kept(folder, name):
    """The files of this name in a folder and below."""
    return [path for path in folder.rglob("*") if path.name == name]


def test_what_is_written_is_read_under_the_same_key_only(tmp_path):
    Store("key", str(tmp_path)).write("name", b"code")
    assert Store("key", str(tmp_path)).read("name") == b"code"
    assert Store("key", str(tmp_path)).read("other") is None
    assert Store("another version", str(tmp_path)).read("name") is None


@pytest.mark.parametrize("damage", [lambda x: b"", lambda x: x[:7], lambda x: x[:-1], lambda x: x[:-1] + b"x"])
def test_damaged_files_are_written_anew(tmp_path, damage):
    """As a full disk or a machine that lost its power leaves them: cut off, empty, or with other contents."""
    store = Store("key", str(tmp_path))
    store.write("name", b"code")
    (file,) = kept(tmp_path, "name")
    file.write_bytes(damage(file.read_bytes()))
    assert store.read("name") is None
    store.write("name", b"code")
    assert store.read("name") == b"code"


def test_a_user_without_a_home(monkeypatch, temporary):
    """As in `docker run --user 1234`: neither HOME nor an entry in the table of users."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    Store("key").write("name", b"code")
    assert Store("key").read("name") == b"code"
    assert kept(temporary, "name")


def test_what_is_kept_where_nothing_can_be_written_is_read(tmp_path, temporary, monkeypatch):
    """As in a container whose image has the kernels: no copy, no lock and no warning."""
    Store("key", str(tmp_path)).write("name", b"code")

    def refuse(*arguments, **options):
        raise PermissionError("read-only")

    for function in ("utime", "replace", "mkdir"):
        monkeypatch.setattr(os, function, refuse)
    assert Store("key", str(tmp_path)).read("name") == b"code"
    assert not list(temporary.iterdir())


def test_the_temporary_directory_serves_where_the_folder_cannot_be_written(unwritable, temporary):
    store = Store("key", str(unwritable))
    with store.alone("name"):
        store.write("name", b"code")
    assert store.read("name") == b"code"
    assert kept(temporary, "name") and kept(temporary, "name.lock")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files on this platform")
@pytest.mark.parametrize("theirs", [0o777, 0o720])
def test_a_folder_that_others_may_write_to_is_not_used(unwritable, temporary, theirs):
    """Anybody may make a folder of this name in the temporary directory, and code in it would be run."""
    store = Store("key", str(unwritable))
    store.write("name", b"code")
    (shared,) = temporary.iterdir()
    assert not shared.stat().st_mode & 0o077
    shared.chmod(theirs)
    assert store.read("name") is None
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR to a folder"):
        store.write("name", b"code")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files on this platform")
def test_a_link_in_place_of_the_temporary_folder_is_not_followed(unwritable, temporary, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (temporary / f"fastmoments-{os.getuid()}").symlink_to(elsewhere)
    with pytest.warns(RuntimeWarning):
        Store("key", str(unwritable)).write("name", b"code")
    assert not list(elsewhere.iterdir())


def test_one_warning_where_there_is_no_folder_at_all(unwritable, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(unwritable))
    store = Store("key", str(unwritable))
    with pytest.warns(RuntimeWarning, match="every process compiles them anew") as warned:
        for name in ("one", "two"):
            with store.alone(name):
                store.write(name, b"code")
    assert len(warned) == 1 and store.read("one") is None


def test_a_failed_write_leaves_nothing(tmp_path, temporary, monkeypatch):
    """On a full disk the file would be shorter; what was there before stays."""
    store = Store("key", str(tmp_path / "base"))
    store.write("name", b"before")

    def full(path, content):
        with open(path, "wb") as file:
            file.write(content[:40])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(RuntimeWarning):
        store.write("name", b"after")
    assert store.read("name") == b"before"
    assert not [path for path in tmp_path.rglob("*.part")]


def test_one_at_a_time(tmp_path):
    """The second waits until the first is done; another file's maker does not."""
    done = []

    def second():
        with Store("key", str(tmp_path)).alone("name") as held:
            done.append(("second", held))

    with Store("key", str(tmp_path)).alone("name") as held, Store("key", str(tmp_path)).alone("other"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(4 * storage.PAUSE)
        done.append(("first", held))
    thread.join()
    assert done == [("first", True), ("second", True)]


def test_patience_with_a_process_that_is_stopped_ends(tmp_path):
    with Store("key", str(tmp_path)).alone("name"):
        for patience in (0.0, 3 * storage.PAUSE):
            start = time.monotonic()
            with Store("key", str(tmp_path)).alone("name", patience) as held:
                assert not held and patience <= time.monotonic() - start < patience + 1.0


def test_locks_in_a_folder_that_may_only_be_read(tmp_path, temporary, monkeypatch):
    """The lock is where files are written to."""
    Store("key", str(tmp_path)).write("name", b"code")
    create = os.open

    def refuse(path, *others):
        if Path(path).parents[1] == tmp_path:
            raise PermissionError("read-only")
        return create(path, *others)

    monkeypatch.setattr(os, "open", refuse)
    with Store("key", str(tmp_path)).alone("name") as one, Store("key", str(tmp_path)).alone("name", 0.0) as two:
        assert (one, two) == (True, False) and kept(temporary, "name.lock")


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    for module, function in (("fcntl", "flock"), ("msvcrt", "locking")):
        if hasattr(storage, module):
            monkeypatch.setattr(getattr(storage, module), function, refuse)
    with Store("key", str(tmp_path)).alone("name") as one, Store("key", str(tmp_path)).alone("name", 0.0) as two:
        assert one and two


# takes a lock, leaves a forked child behind that lives on, and waits to be killed
HOLDER = """
import os, sys, time
from fastmoments_kernels.storage import Store
from tests.processes import ROOT
with Store("key", sys.argv[1]).alone("name"):
    child = os.fork()
    print(child, flush=True) if child else None
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_holder_that_is_killed_holds_nobody(tmp_path):
    """Nor does its forked child, which has its open files."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        child = int(holder.stdout.readline())
        try:
            with Store("key", str(tmp_path)).alone("name", 0.0) as held:
                assert not held
            holder.kill()
            holder.wait()
            with Store("key", str(tmp_path)).alone("name") as held:
                assert held
        finally:
            holder.kill()
            os.kill(child, signal.SIGKILL)


def test_what_is_in_use_is_not_stale(tmp_path):
    """A folder is removed a month after its last use, not a month after it was made."""
    stores = [Store(key, str(tmp_path)) for key in ("used", "left")]
    for store in stores:
        store.write("name", b"code")
    for store in stores:
        os.utime(store.folders[0], (0, 0))
    Store("used", str(tmp_path)).read("name")
    Store("new", str(tmp_path)).write("name", b"code")
    assert Store("used", str(tmp_path)).read("name") and Store("new", str(tmp_path)).read("name")
    assert Store("left", str(tmp_path)).read("name") is None
