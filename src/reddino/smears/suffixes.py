"""File names of pictures: those that are read, and those of similar names that are not."""

from __future__ import annotations

from reddino.smears.slides.names import SLIDE_SUFFIXES

#: Suffixes of the files that folders and shards are searched for, lower case.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp")
#: The same with microscope files, which are no members of shards.
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *SLIDE_SUFFIXES)
#: Of these the formats without 16-bit samples and planes: their headers are not read for them.
PLAIN_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")

# fmt: off
_PICTURES = (
    ".heic", ".heif", ".hif", ".avif", ".gif", ".apng", ".jxl", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf",
    ".jpx", ".jpm", ".jxr", ".wdp", ".hdp", ".tga", ".pcx", ".ppm", ".pgm", ".pbm", ".pnm", ".exr",
    ".hdr", ".psd", ".psb", ".xcf", ".djvu", ".djv", ".pdf", ".eps", ".pam", ".pfm", ".dib", ".mpo", ".jps",
    ".jif", ".jfi", ".pjpeg", ".pjp", ".jls", ".jph", ".qoi", ".flif", ".sgi", ".ras", ".fits", ".fts",
)
_MICROSCOPES = (
    ".svs", ".ndpi", ".ndpis", ".scn", ".bif", ".mrxs", ".vsi", ".ets", ".czi", ".zvi", ".lsm", ".nd2",
    ".lif", ".lof", ".xlif", ".oif", ".oib", ".oir", ".dv", ".r3d", ".ims", ".stk", ".vms", ".vmu",
    ".svslide", ".tmap", ".isyntax", ".kfb", ".sdpc", ".mdsx", ".qptiff", ".dcm", ".dicom", ".btf",
    ".tf2", ".tf8", ".zarr",
)
_RAW = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".rw2", ".orf",
    ".pef", ".raw", ".rwl", ".3fr", ".iiq", ".x3f", ".kdc", ".dcr", ".mrw",
)
_ARCHIVES = (
    ".zip", ".rar", ".7z", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst",
    ".tar.lz4", ".tar.lzma", ".tlz", ".tar.z",
)
# fmt: on
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".z")
_ADVICE = {
    _PICTURES: "save it as PNG, TIFF or JPEG",
    _MICROSCOPES: "save its fields as PNG or TIFF",
    _RAW: "develop it and save it as PNG, TIFF or JPEG",
    _ARCHIVES: "unpack it",
}


def why_unread(name: str, *, in_shard: bool = False) -> str | None:
    """Return why a file of this name is left out, and what to do.

    Return None where it does not seem to be a picture.
    """
    lower = name.lower()
    if lower.startswith(".") or (not in_shard and lower.endswith(SLIDE_SUFFIXES)):
        return None
    for suffixes, advice in _ADVICE.items():
        suffix = next((suffix for suffix in suffixes if lower.endswith(suffix)), None)
        if suffix is not None:
            what = "is an archive" if suffixes is _ARCHIVES else f"is a {suffix} picture"
            return f"{what}, which is not read; {advice}"
    base, dot, last = lower.rpartition(".")
    if dot + last in _COMPRESSED and base.endswith(IMAGE_SUFFIXES):
        return "is compressed, which is not read; unpack it"
    return None
