"""Values as a learner sees them: whether two are equal, and how one reads in a line."""

from __future__ import annotations

import contextlib
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

WIDTH = 160  # characters of a value that a message shows


def same(got: Any, expected: Any) -> bool:
    """Equality as a learner would understand it.

    Numbers and arrays to 1e-6 of their size, or 1e-8; arrays and tensors by shape and kind (a mask
    is no number); list and tuple are alike, order counts; dictionaries by their items. NaN equals
    NaN.
    """
    if isinstance(expected, np.ndarray) or hasattr(expected, "detach"):
        return _same_array(got, expected)
    got = (
        got.item() if getattr(got, "shape", None) == () and hasattr(got, "item") else got
    )  # one number in an array
    if isinstance(expected, bool | np.bool_):
        return isinstance(got, bool) and got == bool(expected)
    if isinstance(expected, str):
        return isinstance(got, str) and got == expected
    if isinstance(expected, numbers.Real):
        return is_number(got) and (
            got == expected or (not abs(got) > 1e300 and _same_array(float(got), float(expected)))
        )  # no float is larger than 1.8e308
    if isinstance(expected, list | tuple):
        got = got.tolist() if hasattr(got, "tolist") else got
        return (
            isinstance(got, list | tuple)
            and len(got) == len(expected)
            and all(map(same, got, expected))
        )
    if isinstance(expected, Mapping):
        return (
            isinstance(got, Mapping)
            and got.keys() == expected.keys()
            and all(same(got[key], value) for key, value in expected.items())
        )
    return type(got) is type(expected) and bool(got == expected)


def is_number(value: Any) -> bool:
    """Whether a value is a number, from NumPy or torch as well; True and False are none."""
    value = value.item() if getattr(value, "shape", None) == () else value
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole_number(value: Any) -> bool:
    """Whether a value is a whole number, from NumPy as well; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_exactly(got: Any, expected: int) -> bool:
    """Whether a value is this whole number to its last digit,
    where `same` would let a rounded one pass.
    """
    return same(got, expected) and float(got) == expected


def _same_array(got: Any, expected: Any) -> bool:
    try:
        one, other = (
            np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
            for value in (got, expected)
        )
    except (ValueError, TypeError, RuntimeError):  # rows of several lengths, say
        return False
    if one.shape != other.shape or (one.dtype.kind == "b") != (other.dtype.kind == "b"):
        return False
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return bool(np.array_equal(one, other))
    return bool(np.allclose(one, other, rtol=1e-6, atol=1e-8, equal_nan=True))


def show(value: Any, *, with_shape: bool = True) -> str:
    """A value in one short line, without memory addresses;
    arrays with their shape, if that is wanted.
    """
    try:
        return _in_words(value, with_shape)
    except Exception:  # a wrong answer may be of any kind, even one that cannot be printed
        return f"a value of type {type(value).__name__}"


def _in_words(value: Any, with_shape: bool) -> str:
    if hasattr(value, "detach"):
        with contextlib.suppress(TypeError, RuntimeError):  # a sparse tensor, say, has no array
            value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        rows = np.array2string(
            value, separator=", ", precision=4, threshold=24, edgeitems=2, max_line_width=10_000
        )
        text = " ".join(rows.split()) + (f", shape {list(value.shape)}" if with_shape else "")
    elif isinstance(value, float | np.floating):
        text = f"{float(value):.6g}" if math.isfinite(value) else str(float(value))
    elif isinstance(value, list | tuple) and any(getattr(part, "shape", ()) for part in value):
        text = " and ".join(show(part, with_shape=with_shape) for part in value)
    elif isinstance(value, list | tuple) and any(isinstance(part, np.generic) for part in value):
        text = _in_words(
            type(value)(part.item() if isinstance(part, np.generic) else part for part in value),
            True,
        )
    elif callable(value):
        text = f"the function {getattr(value, '__name__', type(value).__name__)}"
    else:
        text = re.sub(r"\s*\n\s*", " ", re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)))
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 40]} ... {text[-30:]}"
