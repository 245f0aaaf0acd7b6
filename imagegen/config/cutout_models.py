"""The models that the step `cutout` knows by name, and how it finds one that the project lists.

All are files of rembg's release, which names only their md5. Each sha256 was found alike in the sources of at least
four projects that do not depend on each other, beside that md5 or that address; the one of u2netp was computed from the
file. Licences: those of the repositories that the models come from, read there. Models that may not be used
commercially, such as BRIA's RMBG, are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from imagegen.config.models import ModelFile

__all__ = ["CUTOUT_FOLDER", "CUTOUT_LICENCES", "CUTOUT_MODELS", "describe_licence", "list_cutout_models"]

CUTOUT_FOLDER = "cutout"
"""The kind of model, which its folder is named after."""
_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"


def _model(name: str, file: str, size: int, sha256: str, repo: str) -> ModelFile:
    page = f"https://github.com/{repo}"
    own_name = f"{name}.onnx"
    return ModelFile(name, CUTOUT_FOLDER, own_name, sha256, size, size, size, url=f"{_RELEASE}/{file}", licence=page)


CUTOUT_MODELS: Mapping[str, ModelFile] = {
    model.key: model
    for model in (
        _model(
            "u2net",
            "u2net.onnx",
            175_997_641,
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            "xuebinqin/U-2-Net",
        ),
        _model(
            "u2netp",
            "u2netp.onnx",
            4_574_861,
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            "xuebinqin/U-2-Net",
        ),
        _model(
            "isnet-general-use",
            "isnet-general-use.onnx",
            178_648_008,
            "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
            "xuebinqin/DIS",
        ),
        _model(
            "isnet-anime",
            "isnet-anime.onnx",
            176_069_933,
            "f15622d853e8260172812b657053460e20806f04b9e05147d49af7bed31a6e99",
            "SkyTNT/anime-segmentation",
        ),
        _model(
            "birefnet-general-lite",
            "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
            224_005_088,
            "5600024376f572a557870a5eb0afb1e5961636bef4e1e22132025467d0f03333",
            "ZhengPeng7/BiRefNet",
        ),
        _model(
            "birefnet-general",
            "BiRefNet-general-epoch_244.onnx",
            972_666_916,
            "58f621f00f5d756097615970a88a791584600dcf7c45b18a0a6267535a1ebd3c",
            "ZhengPeng7/BiRefNet",
        ),
    )
}
"""By name: the one of rembg, which knows how a picture is prepared for each."""

CUTOUT_LICENCES: Mapping[str, str] = {
    "u2net": "Apache-2.0",
    "u2netp": "Apache-2.0",
    "isnet-general-use": "Apache-2.0",
    "isnet-anime": "Apache-2.0",
    "birefnet-general-lite": "MIT",
    "birefnet-general": "MIT",
}
"""Of the known models, by name."""


def describe_licence(model: ModelFile) -> str:
    """Return the licence of a model to cut out with, and the page where it can be read, as far as they are known."""
    name = CUTOUT_LICENCES[model.key] if model == CUTOUT_MODELS.get(model.key) else ""
    return ", ".join(filter(None, (name, model.page))) or "unknown"


def list_cutout_models(listed: Sequence[ModelFile]) -> Mapping[str, ModelFile]:
    """Return the models that can be named: the known ones, and those that the project lists, which come first."""
    own: Iterable[ModelFile] = (model for model in listed if model.folder == CUTOUT_FOLDER)
    return {**CUTOUT_MODELS, **{model.key: model for model in own}}
