"""Obtain the third-party files of this folder again, from the packages that publish them.

    npm pack @mediapipe/face_mesh@0.4.1657299874
    pip download --no-deps --only-binary=:all: --python-version 3.11 mediapipe==0.10.21
    python obtain.py mediapipe-face_mesh-0.4.1657299874.tgz mediapipe-0.10.21-*.whl
    sha256sum --check SHA256SUMS

The npm package holds the three files back to back in one asset; the byte ranges below are those
its own loader script lists. The licence text is the wheel's.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

ASSET = "package/face_mesh_solution_packed_assets.data"
RANGES = {
    "face_landmark.tflite": (2495952, 3737848),
    "geometry_pipeline_metadata_landmarks.binarypb": (3737848, 3757224),
    "blaze_face_short_range.tflite": (3757224, 3986256),
}
LICENCE = "mediapipe-0.10.21.dist-info/LICENSE"


def main(npm_package: str, wheel: str) -> None:
    """Write the three files and LICENSE.mediapipe beside this script."""
    folder = Path(__file__).parent
    with tarfile.open(npm_package) as archive:
        member = archive.extractfile(ASSET)
        if member is None:
            sys.exit(f"{npm_package}: {ASSET} is not a file")
        asset = member.read()
    for name, (start, end) in RANGES.items():
        (folder / name).write_bytes(asset[start:end])
    with zipfile.ZipFile(wheel) as archive:
        (folder / "LICENSE.mediapipe").write_bytes(archive.read(LICENCE))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
