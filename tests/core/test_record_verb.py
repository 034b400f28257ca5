"""What `./mx record` refuses before it starts a recorder."""

import pytest
from mx_capture.errors import MxError
from mx_capture.verbs.record import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pseudonym of the subject"),
        (["--subject", "s1"], "whether consent was given"),
        (["--subject", "s1", "--consent", "no"], "without consent"),
        (["--subject", "Jane Doe", "--consent", "yes"], "no pseudonym"),
        (
            ["--subject", "s1", "--consent", "yes", "--protocol", "none.yaml"],
            "cannot read the prot",
        ),
        (["--session", "none.yaml"], "cannot read"),
        (["--split-mb", "-1", "--subject", "s1", "--consent", "yes"], "split_mb=-1"),
    ],
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(MxError, match=message):
        main(["--out", str(tmp_path / "s"), *arguments])
    assert not (tmp_path / "s").exists()


def test_an_existing_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    (tmp_path / "s").mkdir()
    with pytest.raises(MxError, match="exists already"):
        main(
            ["--out", str(tmp_path / "s"), "--subject", "s1", "--consent", "yes", "--lighting", "x"]
        )
