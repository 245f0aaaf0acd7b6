"""What an input is for, told by its name: a prompt's text, a conditioning, a picture, a model.

The names are those of ComfyUI's own nodes and of common custom ones; no node class is listed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

__all__ = [
    "SEEDS",
    "Kind",
    "Side",
    "is_choice_word",
    "is_display",
    "is_doubtful_text",
    "is_image",
    "is_of_encoder",
    "is_option",
    "is_text",
    "kind_of",
    "shows_picture",
    "side_of",
]

Side = Literal["positive", "negative"]
"""Which of its two conditionings, or texts, a sampler takes."""
Kind = Literal["conditioning", "bundle", "picture", "other", "unknown"]
"""What comes in by a link.

conditioning: what a sampler draws from. bundle: several things in one, as custom "pipes" do. picture: an image or a
latent. other: a model, a mask, a number: nothing that the picture's texts or pixels come through.
"""
SEEDS = ("seed", "noise_seed")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENCODERS = re.compile(r"(^|_)clip_?[a-z]$|t5x|t5$|bert|llama|qwen|gemma|mistral|glm")
"""Inputs called after the text encoder that reads them: `clip_l`, `t5xxl`, `mt5xl`, `qwen25_7b`."""
_TEXT = _set(
    "text texts txt prompt prompts caption captions description string strings str tags positive negative "
    "value replace replacement prepend append prefix suffix before after subject wildcard wildcards pos neg"
)
_OPTION = _set(
    "encoder encoders mode type model weight strength scale delimiter separator find search pattern regex "
    "file filename path folder size length log name format normalization interpretation parser method device "
    "dtype language seed font color align max min case clean strip trim index key id save enable control "
    "generate template_name start end percent option options upsampling enhance enhancer select selection"
)
_DOUBTFUL = _set("system instruction instructions instruct template role context guideline guidelines")
"""A text for a language model, not for the picture."""
_POSITIVE = _set("positive pos")
_NEGATIVE = _set("negative neg uncond")
_CHOICES = _set("true false yes no on off auto none default enable enabled disable disabled fixed random randomize")
_CONDITIONING = _set("conditioning conditionings cond conds")
_PICTURE = _set(
    "image images pixels latent latents samples frames video videos img imgs picture pictures photo photos "
    "foreground background destination source"
)
_BUNDLE = _set("pipe bus embeds ctx context")
_OTHER = _set(
    "model models clip vae mask masks control controlnet noise sigmas sampler guider width height batch steps "
    "cfg seed denoise scheduler lora strength vision segs upscale bbox detector options audio length fps "
    "switch"
)


@lru_cache(maxsize=4096)
def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", name.rpartition(".")[2])  # `model.prompt` is a prompt of a choice
    return [word for word in re.split(r"[\W_]+|\d+", spaced.lower()) if word]


def is_text(name: str) -> bool:
    """Whether an input of this name holds words for the picture, where what it holds is text at all."""
    words = _words(name)
    return not is_option(name) and (not _TEXT.isdisjoint(words) or bool(_ENCODERS.search(name.lower())))


def is_of_encoder(name: str) -> bool:
    """Whether an input is the text for one of a model's several text encoders, which all get the same one."""
    return bool(_ENCODERS.search(name.lower()) or re.fullmatch(r"text_[a-z]", name))


def is_option(name: str) -> bool:
    """Whether an input of this name says how something is done, or names a file: no words for a picture."""
    return not _OPTION.isdisjoint(_words(name))


def is_doubtful_text(name: str) -> bool:
    """Whether a text of this name is rather for a language model that writes the prompt."""
    return not _DOUBTFUL.isdisjoint(_words(name))


def side_of(name: str) -> Side | None:
    """Which side an input's name speaks of, if any."""
    words = _words(name)
    if not _NEGATIVE.isdisjoint(words):
        return "negative"
    return None if _POSITIVE.isdisjoint(words) else "positive"


def kind_of(name: str) -> Kind:
    """What comes in by a link of this name."""
    words = _words(name)
    if words[:1] == ["empty"]:
        return "other"
    if side_of(name) or not _CONDITIONING.isdisjoint(words):
        return "conditioning"
    if not _BUNDLE.isdisjoint(words):
        return "bundle"
    if not _OTHER.isdisjoint(words):
        return "other"
    return "unknown" if _PICTURE.isdisjoint(words) else "picture"


def shows_picture(name: str) -> bool:
    """Whether a node sees a picture by a link of this name."""
    return not {"image", "images", "pixels", "video", "frames", "img", "picture", "pictures", "photo"}.isdisjoint(
        _words(name)
    )


def is_image(name: str) -> bool:
    """Whether what comes in by a link of this name is an image, and no latent."""
    return {"latent", "latents", "samples", *_BUNDLE}.isdisjoint(_words(name))


def is_choice_word(value: str) -> bool:
    """Whether a text is one of the words that a setting is given with, and no text for a picture."""
    return value.strip().lower() in _CHOICES


def is_display(class_type: str) -> bool:
    """Whether nodes of this class only show what comes in; a text that they hold is the one that was shown last."""
    return bool(re.search(r"show|display|preview|inspect", class_type, re.IGNORECASE))
