"""A Chromium from npm, for machines that have none: it needs nothing of theirs but a C library.

Its package is meant for servers without a screen. It brings libraries and a font; CJK and right-to-left text
is drawn with the machine's fonts, if there are any.
"""

import fcntl
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import brotli

from release import npm
from release.archives import unpack
from release.manifest import sha256

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
SHA256 = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
PARTS = ("chromium", "al2023.tar", "fonts.tar")  # not what draws on a graphics processor
# In the environment that runs the tests: 70 MB are fetched once for it, and make 210 MB.
FOLDER = Path(sys.prefix) / f"chromium-{VERSION}"

# The one inside the package names folders of another machine, and then no text is drawn at all.
FONTS = """<?xml version="1.0"?>
<fontconfig>
  <dir>{folder}/fonts/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{folder}/fonts-cache</cachedir>
</fontconfig>
"""


def executable() -> Path:
    """The program, fetched if it is not there."""
    with FOLDER.with_name(f"{FOLDER.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes may want it at the same time
        if not FOLDER.exists():
            with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
                _install(Path(scratch))
    return FOLDER / "chromium"


def environment() -> dict[str, str]:
    """What the program is started with."""
    libraries = [str(FOLDER / "al2023" / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "FONTCONFIG_FILE": str(FOLDER / "fonts.conf"),
    }


def _install(scratch: Path) -> None:
    archive = npm.fetch(PACKAGE, VERSION, scratch)
    assert sha256(archive) == SHA256, f"{PACKAGE} {VERSION} is not the file that was chosen"
    made = scratch / "made"
    made.mkdir()
    packed = npm.unpack(archive, scratch) / "bin"
    for name in PARTS:
        _unpack(brotli.decompress((packed / f"{name}.br").read_bytes()), made / name)
    (made / "chromium").chmod(0o755)
    (made / "fonts.conf").write_text(FONTS.format(folder=FOLDER))
    made.rename(FOLDER)  # whole, or not there


def _unpack(content: bytes, path: Path) -> None:
    if path.suffix == ".tar":
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            unpack(files, path.with_suffix(""))
    else:
        path.write_bytes(content)
