"""What `./mx record` refuses before it starts a recorder."""

import contextlib
from types import SimpleNamespace

import pytest
from mx_capture.errors import MxError
from mx_capture.recording.session_info import Consent, Retention, SessionInfo, write_info
from mx_capture.verbs import record
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


@pytest.mark.parametrize("given", ["no", "unknown"])
def test_a_session_file_without_consent_records_nothing(tmp_path, given):
    file = tmp_path / "s.yaml"
    write_info(file, SessionInfo("p01", Consent(given)))
    with pytest.raises(MxError, match=f"without consent nothing is recorded, and it is '{given}'"):
        main(["--out", str(tmp_path / "s"), "--session", str(file)])
    assert not (tmp_path / "s").exists()


def test_options_replace_what_the_session_file_says(tmp_path):
    file = tmp_path / "s.yaml"
    kept = {"calibration": "c.yaml", "note": "left seat"}
    consent = Consent("yes", "2026-01-31", ("research",))
    write_info(file, SessionInfo("p01", consent, retention=Retention("2027-01-31", "DPO"), **kept))
    words = ["--out", str(tmp_path / "s"), "--session", str(file)]
    info = record._session_info(record._parse(words), None)
    assert (info.subject, info.consent, info.retention.until) == ("p01", consent, "2027-01-31")
    words += ["--subject", "p02", "--lux", "300", "--keep-until", "2028-01-31", "--consent", "yes"]
    info = record._session_info(record._parse(words), None)
    assert (info.subject, info.lighting.lux, info.note) == ("p02", 300, "left seat")
    assert info.retention == Retention("2028-01-31", "DPO")
    assert info.consent.uses == ("research",) and info.consent.date > "2026-01-31"


def test_an_existing_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    (tmp_path / "s").mkdir()
    with pytest.raises(MxError, match="exists already"):
        main(
            ["--out", str(tmp_path / "s"), "--subject", "s1", "--consent", "yes", "--lighting", "x"]
        )


@pytest.mark.parametrize(
    ("exit_code", "written", "message"),
    [
        (None, 0, "nothing arrived within"),
        (1, 0, "the recorder could not start"),
        (-9, 5_000, r"save what it wrote by `\./mx recover .*s`"),
    ],
)
def test_a_recorder_that_fails_leaves_only_what_it_wrote(
    tmp_path, monkeypatch, exit_code, written, message
):
    @contextlib.contextmanager
    def fake_recorder(out, *_):
        (out / "recording").mkdir()
        (out / "recording" / "recording_0.mcap").write_bytes(bytes(written))
        yield SimpleNamespace(poll=lambda: exit_code)

    monkeypatch.setattr(record, "_recorder", fake_recorder)
    monkeypatch.setattr(record, "_START_S", 0.0)
    out = tmp_path / "s"
    given = ["--subject", "s1", "--consent", "yes", "--lighting", "x", "--keep-until", "2031-01-31"]
    with pytest.raises(MxError, match=message):
        main(["--out", str(out), *given])
    assert out.exists() == bool(written)
    if written:
        assert "2031-01-31" in (out / "session.yaml").read_text()
