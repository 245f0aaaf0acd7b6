"""Write docs/images/gallery.webp, the README's picture: the gallery of these jobs in headless Chromium.

Run `doit && doit gallery` first.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

__all__ = ["picture"]

ROOT = Path(__file__).parents[1]
WINDOW = (1440, 1080)
"""CSS pixels; the picture has 4 for each 3."""
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1.3333"
)


def picture(page: Path, target: Path) -> None:
    """Write a picture of the top of the page as WebP. Raises CalledProcessError if Chromium fails."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        window = "{},{}".format(*WINDOW)
        command = [chromium, *_FLAGS.split(), f"--user-data-dir={folder}/profile", f"--window-size={window}"]
        command += ["--virtual-time-budget=3000", f"--screenshot={shot}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").save(target, quality=82, method=6)


if __name__ == "__main__":
    gallery = ROOT / "assets/gallery/index.html"
    if not gallery.exists():
        raise SystemExit("there is no gallery yet: run `doit && doit gallery` first")
    picture(gallery, ROOT / "docs/images/gallery.webp")
