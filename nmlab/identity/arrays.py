"""Tensors and arrays as short text that is equal where their values are."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

import numpy as np
import torch

WHOLE = 32_000_000
"""Maximum size in bytes of a tensor or array all of whose values are compared."""

SAMPLE = 4096
"""Number of values, evenly spaced, by which a larger one is compared."""

SHOWN = 6
"""Maximum number of values that are written out."""

_known: dict[int, tuple[weakref.ref[torch.Tensor], tuple[Any, ...], str]] = {}
"""Texts of tensors, as long as the tensors live and are not written to."""


def shape_text(value: Any) -> str:
    """Return shape and type, such as '20×2 float32'."""
    shape = "×".join(map(str, value.shape)) or "scalar"
    return f"{shape} {str(value.dtype).removeprefix('torch.')}"


def array_text(value: torch.Tensor | np.ndarray[Any, Any]) -> tuple[str, str | None]:
    """Return a text that is equal for equal values, and why it does not stand for all of them, or None.

    The values of a few numbers are written out, of more there is a hash. A tensor's text is made once for each of its
    versions.

    Raises
    ------
    TypeError
        If there are no values that can be read, as of a sparse tensor or of an array of objects.
    """
    if not isinstance(value, torch.Tensor):
        return _text(value, "array"), _remark(value.size, value.nbytes)
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        raise TypeError(f"a tensor of layout {value.layout} on {value.device}")
    remark = _remark(value.numel(), value.numel() * value.element_size())
    try:
        stamp = (value._version, value.data_ptr(), value.shape, value.stride(), value.dtype)
    except RuntimeError:  # a tensor made in inference mode keeps no version
        return _text(_numpy(value, remark is not None), "tensor", value), remark
    held, known, text = _known.get(id(value), (None, None, ""))
    if held is None or held() is not value or known != stamp:
        text = _text(_numpy(value, remark is not None), "tensor", value)
        key = id(value)
        _known[key] = weakref.ref(value, lambda gone: _forget(key, gone)), stamp, text
    return text, remark


def _forget(key: int, gone: weakref.ref[torch.Tensor]) -> None:
    if key in _known and _known[key][0] is gone:
        del _known[key]


def _remark(count: int, size: int) -> str | None:
    return None if size <= WHOLE else f"{size / 1e6:.0f} MB; compared by shape, type and {SAMPLE} of {count} values"


def _numpy(value: torch.Tensor, sampled: bool) -> np.ndarray[Any, Any]:
    plain = value.detach().resolve_conj().resolve_neg()
    if sampled:
        plain = plain.reshape(-1)[torch.linspace(0, plain.numel() - 1, SAMPLE, dtype=torch.float64).long()]
    plain = plain.cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _text(values: np.ndarray[Any, Any], kind: str, of: Any = None) -> str:
    of = values if of is None else of
    if values.dtype.hasobject:
        raise TypeError("an array of objects")
    if values.size <= SHOWN and values.size:
        dtype = str(of.dtype).removeprefix("torch.")
        return _nested(values) + ("" if dtype == "float32" else f" {dtype}")
    if values.nbytes > WHOLE:
        values = values.reshape(-1)[np.linspace(0, values.size - 1, SAMPLE).astype(int)]
    digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=5).hexdigest()
    return f"{kind} {shape_text(of)} #{digest}"


def _nested(values: np.ndarray[Any, Any]) -> str:
    if values.ndim == 0:
        return str(values[()])
    return f"[{', '.join(_nested(np.asarray(part)) for part in values)}]"
