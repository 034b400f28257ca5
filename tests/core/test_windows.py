"""Windows and augmentation of event sequences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_perception.action_units import AU_NUMBERS
from mx_perception.sequences import (
    CELL_DTYPE,
    FaceSequence,
    Span,
    cells_of,
    load_sequences,
    save_sequences,
)
from mx_perception.views import AugmentConfig, View, draw_view
from mx_perception.windows import (
    NEUTRAL_CLASS,
    NO_CLASS,
    Window,
    clip_windows,
    render,
)
from toy_faces import HOPS, toy_sequence

HOPS_SHOWN = 48
HALF, FULL = (64, 64), (128, 128)
STILL = AugmentConfig(shift_px=0, scale=0, rotation=0, rate=0, drop=0, noise=0, reverse=0, mirror=0)


@pytest.fixture(scope="module")
def sequence() -> FaceSequence:
    return toy_sequence("s000", 0)


def one_event(hop: int, y: int, x: int, p: int, spans: tuple[Span, ...] = ()) -> FaceSequence:
    cells = np.array([(hop, x, y, p, 1)], CELL_DTYPE)
    return replace(toy_sequence("s", 0), cells=cells, spans=spans)


def test_cells_hold_the_tensor() -> None:
    tensor = np.random.default_rng(0).integers(0, 3, (1, 2, 128, 128), dtype=np.uint8)
    sequence = replace(toy_sequence("s", 0), cells=cells_of(7, tensor))
    np.testing.assert_array_equal(sequence.dense(7, 1), tensor)
    assert not sequence.dense(-2, 9).any()
    np.testing.assert_array_equal(sequence.dense(6, 3)[1], tensor[0])


def test_what_is_stored_comes_back(tmp_path: Path, sequence: FaceSequence) -> None:
    save_sequences(tmp_path / "a.npz", [sequence, replace(sequence, subject="other")])
    first, second = load_sequences([tmp_path / "a.npz"])
    assert first.spans == sequence.spans and second.subject == "other"
    np.testing.assert_array_equal(first.cells, sequence.cells)
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(MxError, match=r"b\.npz"):
        load_sequences([tmp_path / "b.npz"])


def test_windows_hold_their_clips(sequence: FaceSequence) -> None:
    windows = clip_windows([sequence], HOPS_SHOWN, np.random.default_rng(0))
    assert sorted(w.label for w in windows if w.span) == list(range(len(AU_NUMBERS)))
    neutral = [w for w in windows if w.span is None]
    assert neutral
    for window in windows:
        assert window.first <= window.begin < window.end <= window.first + HOPS_SHOWN + 1
        if window.span is not None:
            assert window.begin <= window.span.onset and window.span.offset <= window.end
        for span in sequence.spans:
            if span is not window.span:
                assert span.offset <= window.begin or span.onset >= window.end


@pytest.mark.parametrize("reverse", [0.0, 1.0])
def test_what_warms_up_comes_before_the_window(sequence: FaceSequence, reverse: float) -> None:
    windows = clip_windows([sequence], HOPS_SHOWN, np.random.default_rng(0))[:3]
    augment = replace(STILL, reverse=reverse)
    one, two = (
        render(
            [sequence], windows, HOPS_SHOWN, HALF, "events", np.random.default_rng(1), augment, w
        )
        for w in (0, 16)
    )
    assert len(two.x) == HOPS_SHOWN + 16
    later = two.after(16)
    for name in ("activity", "weights", "classes"):
        np.testing.assert_array_equal(getattr(later, name), getattr(one, name))
    counts = [batch.x.sum(axis=(2, 3, 4), dtype=np.int64) for batch in (one, later)]
    np.testing.assert_array_equal(*counts)


def test_a_plain_window_is_the_stored_one(sequence: FaceSequence) -> None:
    windows = clip_windows([sequence], HOPS_SHOWN, np.random.default_rng(0))
    batch = render([sequence], windows, HOPS_SHOWN, HALF)
    for row, window in enumerate(windows):
        dense = sequence.dense(window.first, HOPS_SHOWN).astype(int)
        pooled = dense.reshape(HOPS_SHOWN, 2, 64, 2, 64, 2).sum((3, 5))
        np.testing.assert_array_equal(batch.x[:, row], pooled)
        np.testing.assert_allclose(batch.weights[:, row].sum(), 1.0, rtol=1e-5)
    still = render([sequence], windows, HOPS_SHOWN, HALF, "events", np.random.default_rng(1), STILL)
    np.testing.assert_array_equal(still.x, batch.x)
    np.testing.assert_array_equal(still.activity, batch.activity)


def test_activity_and_classes() -> None:
    span = Span((12,), (0.5,), 10.0, 15.0, 20.0)
    both = replace(span, au=(1, 2), intensity=(0.5, 0.5), onset=60.0, apex=65.0, offset=70.0)
    sequence = one_event(0, 0, 0, 0, (span, both))
    windows = clip_windows([sequence], 40, np.random.default_rng(0))
    labels = {window.label for window in windows}
    assert labels == {AU_NUMBERS.index(12), NO_CLASS, NEUTRAL_CLASS}
    batch = render([sequence], [Window(0, 5, 5.0, 45.0, span)], 40, HALF)
    active = batch.activity[:, 0, AU_NUMBERS.index(12)]
    np.testing.assert_array_equal(np.nonzero(active)[0], np.arange(5, 15))
    assert batch.activity.sum() == active.sum()


def test_backwards_swaps_polarity_and_turns_the_labels() -> None:
    span = Span((4,), (0.5,), 4.0, 6.0, 12.0)
    sequence = one_event(5, 10, 20, 1, (span,))
    window = Window(0, 0, 0.0, 40.0, span)
    turned = replace(STILL, reverse=1.0)
    batch = render([sequence], [window], 40, FULL, "events", np.random.default_rng(0), turned)
    assert np.argwhere(batch.x[:, 0]).tolist() == [[34, 0, 10, 20]]
    active = np.nonzero(batch.activity[:, 0, AU_NUMBERS.index(4)])[0]
    np.testing.assert_array_equal(active, np.arange(28, 36))


def test_mirror_shift_and_scale_move_events() -> None:
    sequence, window = one_event(5, 10, 20, 1), Window(0, 0, 0.0, 40.0, None)
    rng = np.random.default_rng(0)
    mirrored = render([sequence], [window], 40, FULL, "events", rng, replace(STILL, mirror=1.0))
    assert np.argwhere(mirrored.x[:, 0]).tolist() == [[5, 1, 10, 107]]
    places = set()
    for _ in range(60):
        moved = render([sequence], [window], 40, FULL, "events", rng, replace(STILL, shift_px=4.0))
        places |= {tuple(place) for place in np.argwhere(moved.x[:, 0])[:, 2:]}
    ys, xs = zip(*places, strict=True)
    assert min(ys) >= 6 and max(ys) <= 14 and min(xs) >= 16 and max(xs) <= 24 and len(places) > 20


def test_drop_noise_and_rate(sequence: FaceSequence) -> None:
    window = clip_windows([sequence], HOPS_SHOWN, np.random.default_rng(0))[0]
    total = render([sequence], [window], HOPS_SHOWN, HALF).x.sum()
    rng = np.random.default_rng(0)
    fewer = render(
        [sequence], [window], HOPS_SHOWN, HALF, "events", rng, replace(STILL, drop=0.9)
    ).x.sum()
    assert fewer < total
    more = render(
        [sequence], [window], HOPS_SHOWN, HALF, "events", rng, replace(STILL, noise=0.1)
    ).x.sum()
    assert more > total
    lengths = set()
    for _ in range(30):
        batch = render(
            [sequence], [window], HOPS_SHOWN, HALF, "events", rng, replace(STILL, rate=0.5)
        )
        lengths.add(int(batch.activity.any(2).sum()))
        assert 0.4 * total < batch.x.sum() < 1.8 * total
    assert len(lengths) > 3


def test_windows_may_reach_beyond_the_recording() -> None:
    sequence = one_event(HOPS - 1, 3, 4, 0)
    batch = render([sequence], [Window(0, HOPS - 10, HOPS - 10.0, float(HOPS), None)], 40, HALF)
    assert batch.x.sum() == 1 and batch.x[9, 0, 0, 1, 2] == 1


def test_pictures_follow_the_events() -> None:
    """A bright spot lies where its events do, whatever the view."""
    rng = np.random.default_rng(0)
    frames = np.full((12, 64, 64), 80, np.uint8)
    frames[:, 10:14, 20:24] = 220
    frames[6:, 10:14, 20:24] = 100
    sequence = replace(one_event(30, 24, 44, 0), frames=frames, frame_hops=np.arange(12) * 5 + 1)
    augment = AugmentConfig(drop=0.0, noise=0.0, rate=0.0, reverse=0.0)
    for _ in range(10):
        state = rng.bit_generator.state
        batch = render([sequence], [Window(0, 0, 0.0, 60.0, None)], 60, HALF, "fused", rng, augment)
        _, _, y, x = np.argwhere(batch.x[:, 0, :2])[0]
        spot = np.unravel_index(np.argmax(batch.x[20, 0, 2]), HALF)
        assert abs(spot[0] - y) <= 3 and abs(spot[1] - x) <= 3
        darker = batch.x[31:36, 0, 4].max(0)
        assert darker[y, x] > 0 and (batch.x[:, 0, 2:] <= 15).all()
        assert not batch.x[:31, 0, 4, y, x].any()  # the frame of hop 31 is not seen before
        rng.bit_generator.state = state
        view = draw_view(0, 30.0, (128, 128), rng, augment)
        np.testing.assert_allclose(view.source_of(view.place_in_time(np.arange(9.0))), np.arange(9))


def test_without_frames_pictures_are_empty(sequence: FaceSequence) -> None:
    batch = render([sequence], [Window(0, 0, 0.0, 40.0, None)], 40, HALF, "rgb")
    assert batch.x.shape == (40, 1, 3, 64, 64) and not batch.x.any()
    assert View(5).sources(40) == (5, 45)
