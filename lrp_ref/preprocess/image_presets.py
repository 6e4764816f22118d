"""Preprocessings by name, and any of them in words."""

from __future__ import annotations

from .checks import domain_text, pair
from .recipe import Preprocessing, Stretched

#: Presets by name; sizes are the model's.
PRESETS: dict[str, Preprocessing] = {
    "imagenet": Preprocessing(crop=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=1 / 255),
    "caffe": Preprocessing(crop="square", mean=(104.0, 117.0, 123.0), order="BGR"),
    "unit": Preprocessing(scale=1 / 255),
    "none": Preprocessing(),
}

#: What each preset does, in a line.
MEANING = {
    "imagenet": "torchvision's and timm's: crop 0.875 (256, then 224), [0, 1], minus the mean over the deviation of ImageNet",
    "caffe": "Caffe's: the largest square in the middle, BGR, 0 to 255 minus (104, 117, 123)",
    "unit": "grey values 0 to 1",
    "none": "grey values 0 to 255",
}


def described(preprocessing: Preprocessing) -> str:
    """The steps of a preprocessing in words.

    Parameters
    ----------
    preprocessing : the record
    """
    p = preprocessing
    size = "its own size" if p.size is None else " × ".join(map(str, pair(p.size)))
    if p.crop is None:
        phrases = [f"resized to {size}" if p.size else "its own size"]
    elif isinstance(p.crop, (str, float)):
        phrases = [f"crop {p.crop}, {size}"]
    else:
        before = f"resized to {p.size}, " if p.size else ""
        phrases = [f"{before}crop {' × '.join(map(str, pair(p.crop)))}"]
    phrases += [p.resample] if p.resample != "bilinear" else []
    if isinstance(p, Stretched):
        return ", ".join([*phrases, f"black and white become {domain_text(p.domain)}"])
    phrases += [p.order] if p.channels != 1 else []
    shown = {name: ", ".join(f"{v:g}" for v in getattr(p, name)) for name in ("mean", "std")}
    phrases += [f"· {_ratio(p.scale)}"] if p.scale != 1 else []
    phrases += [f"minus ({shown['mean']})"] if any(p.mean) else []
    phrases += [f"over ({shown['std']})"] if set(p.std) != {1.0} else []
    return ", ".join(phrases)


def _ratio(scale: float) -> str:
    return "1/255" if scale == 1 / 255 else f"{scale:g}"
