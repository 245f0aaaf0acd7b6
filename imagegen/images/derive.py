"""Pictures derived from pictures, with no generator: another size, crop or format.

Equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.config.job import Encoding
from imagegen.images.encode import encode_picture
from imagegen.images.image_file import ImageFile
from imagegen.images.provenance import inherit_provenance
from imagegen.images.reshape import Shape, reshape

if TYPE_CHECKING:
    from imagegen.images.steps.cutout import FindAlpha

__all__ = ["picture"]

_NO_FILES: Mapping[str, bytes] = {}
_NO_MODELS: Mapping[str, FindAlpha] = {}


def picture(
    file: ImageFile,
    shape: Shape,
    encoding: Encoding,
    steps: Sequence[tuple[str, Mapping[str, Any]]] = (),
    step_files: Mapping[str, bytes] = _NO_FILES,
    models: Mapping[str, FindAlpha] = _NO_MODELS,
) -> bytes:
    """Return the image file's picture in this shape and encoding; what the file says of its making goes along.

    Args:
        file: of the image.
        shape: that the picture gets first.
        encoding: of the file that is returned.
        steps: names and parameters; that of a file is its sha256, beside that of a model is one.
        step_files: the files that steps name, by their sha256.
        models: what finds with each model that steps name, by its name.

    Raises:
        BadImage: the file cannot be decoded, is too small, or is too large for the format; or a step is not possible.

    """
    from imagegen.images.steps import apply_steps

    made_by = inherit_provenance(file) if encoding.metadata == "full" else None
    shaped = reshape(file.upright, shape)
    return encode_picture(apply_steps(shaped, steps, step_files, models), encoding, made_by)
