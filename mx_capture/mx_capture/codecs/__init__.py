"""Decoders and encoders of the byte streams that event cameras and their drivers send."""

from __future__ import annotations

from mx_capture.codecs.decoder import TRIGGER_DTYPE, Decoder
from mx_capture.codecs.evt2 import Evt2Decoder
from mx_capture.codecs.evt3 import Evt3Decoder
from mx_capture.codecs.evt3_encoder import Evt3Encoder
from mx_capture.codecs.libcaer import LibcaerDecoder
from mx_capture.codecs.libcaer_cmp import LibcaerCmpDecoder, LibcaerCmpEncoder
from mx_capture.codecs.mono import MonoDecoder
from mx_capture.errors import MxError

__all__ = [
    "DECODERS",
    "TRIGGER_DTYPE",
    "Decoder",
    "Evt3Encoder",
    "LibcaerCmpEncoder",
    "make_decoder",
]

DECODERS: dict[str, type[Decoder]] = {
    decoder.encoding: decoder
    for decoder in (Evt3Decoder, LibcaerCmpDecoder, LibcaerDecoder, MonoDecoder, Evt2Decoder)
}


def make_decoder(encoding: str, height: int, width: int) -> Decoder:
    """The decoder for an EventPacket's `encoding` and size in pixels.

    Raises MxError on an unknown encoding.
    """
    if encoding not in DECODERS:
        raise MxError(f"unknown event encoding {encoding!r}; known are {', '.join(DECODERS)}")
    return DECODERS[encoding](height, width)
