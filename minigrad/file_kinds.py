"""What kind of file this is, by its first bytes: for errors about a file of another kind."""

from __future__ import annotations

_SIGNATURES = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pt and NumPy's .npz are"),
    *((bytes([0x80, n]), "a pickle, as older PyTorch files are") for n in range(2, 6)),
    (b"<", "HTML or XML, as a failed download leaves behind"),
)


def kind_of(start: bytes) -> str:
    """What a file that starts so seems to be: a known kind, or its first bytes."""
    for signature, kind in _SIGNATURES:
        if start.lstrip().startswith(signature):
            return kind
    return f"a file that starts with {start[:8]!r}" if start else "an empty file"
