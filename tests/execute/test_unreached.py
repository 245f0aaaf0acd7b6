from __future__ import annotations

import errno
import sys

import pytest

from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.unreached import check_packages, is_away, words_of
from imagegen.state.shared_store import open_shared


def test_a_package_that_is_missing_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages(Settings(store="file:///x"))
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as Python has it for what cannot be imported
    with pytest.raises(ImagegenError) as caught:
        check_packages(Settings(store="s3://team/x"))
    (problem,) = caught.value.problems
    assert problem.what == "store: s3://team/x needs the package s3fs, which is not installed"
    assert problem.hint.endswith("-m pip install s3fs; or for now without the shared store: doit store=none")
    with pytest.raises(ModuleNotFoundError, match=r"it needs the package s3fs, .* -m pip install s3fs"):
        open_shared("s3://team/x")


def test_a_folder_that_is_gone_is_away_and_one_that_is_full_or_closed_is_not() -> None:
    for number in (errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.ECONNREFUSED, errno.ETIMEDOUT):
        assert is_away(OSError(number, "text", "/mnt/team/tmp"))
    assert is_away(ValueError("a library's own"))
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        assert not is_away(OSError(number, "text", "/mnt/team/tmp"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/mnt/team"), "No such file or directory: /mnt/team"),
        (TimeoutError("no answer within 10 s"), "no answer within 10 s"),
        (ValueError("cannot open sftp://mia:hush@nas/x\nmore"), "cannot open sftp://…@nas/x"),
        (ValueError("https://a b:hush@h"), "ValueError: https://…@h"),
        (
            ValueError('cannot connect to "http://nas:9/team?list-type=2&prefix=x"'),
            'cannot connect to "http://nas:9/team"',
        ),
        (KeyError("Body"), "KeyError: 'Body'"),
        (ValueError(), "ValueError"),
        (PermissionError("Access Denied"), "Access Denied"),
    ],
)
def test_what_went_wrong_is_one_line_without_a_password(error: Exception, words: str) -> None:
    assert words_of(error) == words
