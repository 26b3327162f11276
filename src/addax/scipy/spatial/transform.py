"""Rotations in three dimensions: `jax.scipy.spatial.transform` in name and meaning.

A rotation by the angle t around the unit vector u is the quaternion (u sin(t/2), cos(t/2)), the scalar part last; q and
-q are the same rotation. Products compose: ``(p * q).apply(v)`` is ``p.apply(q.apply(v))``.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax import numpy as jnp, random
from addax.core import dtypes
from addax.core.trace import Tracer
from addax.numpy.base import check_array_like
from addax.numpy.linalg.arguments import asarray


def _array(name: str, x, last: tuple[int, ...], what: str) -> Any:
    check_array_like(name, x)
    x = jnp.asarray(x)
    x = x if dtypes.issubdtype(x.dtype, np.floating) else x.astype(dtypes.to_inexact_dtype(x.dtype))
    if x.shape[-len(last) :] != last or x.ndim not in (len(last), len(last) + 1):
        shape = ", ".join(map(str, last))
        raise ValueError(f"{name}: expected {what} of shape [{shape}] or [n, {shape}], got {x.shape}.")
    return x


def _unit(x):
    """x / |x|; zero vectors are left alone."""
    return x / _length(x)[..., None]


def _length(x):
    squared = jnp.sum(x * x, axis=-1)
    return jnp.sqrt(jnp.where(squared == 0, 1.0, squared))


def _multiply(p, q):
    """The product of quaternions."""
    (a, b, c, d), (x, y, z, w) = jnp.moveaxis(p, -1, 0), jnp.moveaxis(q, -1, 0)
    return jnp.stack(
        [d * x + a * w + b * z - c * y, d * y - a * z + b * w + c * x, d * z + a * y - b * x + c * w, d * w - a * x - b * y - c * z],
        axis=-1,
    )  # fmt: skip


def _conjugate(q):
    return q * np.array([-1, -1, -1, 1], q.dtype)


def _canonical(q):
    """Of q and -q the one whose scalar part, or else the first other part, that is not zero is positive."""
    x, y, z, w = jnp.moveaxis(q, -1, 0)
    first = jnp.where(w != 0, w, jnp.where(x != 0, x, jnp.where(y != 0, y, z)))
    return jnp.where((first < 0)[..., None], -q, q)


class Rotation(NamedTuple):
    """A rotation, or several: a pytree of unit quaternions ``[4]`` or ``[n, 4]``. Make one by the class methods.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.spatial.transform import Rotation
    >>> turn = Rotation.from_rotvec(jnp.array([0., 0., 90.]), degrees=True)
    >>> [round(v, 3) + 0.0 for v in turn.apply(jnp.array([1., 0., 0.])).tolist()]
    [0.0, 1.0, 0.0]
    """

    quat: Any

    # ---- from other forms

    @classmethod
    def concatenate(cls, rotations: Sequence):
        """Several rotations in one object."""
        return cls(jnp.concatenate([jnp.atleast_2d(r.quat) for r in rotations]))

    @classmethod
    def from_quat(cls, quat):
        """From quaternions, scalar part last, which are normalised."""
        return cls(_unit(_array("Rotation.from_quat", quat, (4,), "quaternions")))

    @classmethod
    def from_matrix(cls, matrix):
        """From orthogonal matrices of determinant 1.

        Each of x, y, z, w can be divided by; the largest is, which is exact for all rotations (Shepperd, 1978).
        """
        m = _array("Rotation.from_matrix", matrix, (3, 3), "matrices")
        diagonal = jnp.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2], jnp.trace(m, 0, -2, -1)], axis=-1)
        largest = jnp.argmax(diagonal, axis=-1)
        trace = diagonal[..., 3]
        rows = []
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            q: list[Any] = [None] * 4
            q[i] = 1 - trace + 2 * m[..., i, i]
            q[j] = m[..., j, i] + m[..., i, j]
            q[k] = m[..., k, i] + m[..., i, k]
            q[3] = m[..., k, j] - m[..., j, k]
            rows.append(jnp.stack(q, axis=-1))
        rows.append(
            jnp.stack(
                [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1], 1 + trace],
                axis=-1,
            )
        )
        out = rows[3]
        for i in range(3):
            out = jnp.where((largest == i)[..., None], rows[i], out)
        return cls(_unit(out))

    @classmethod
    def from_rotvec(cls, rotvec, degrees: bool = False):
        """From vectors along the axis whose length is the angle."""
        v = _array("Rotation.from_rotvec", rotvec, (3,), "rotation vectors")
        v = v * (math.pi / 180) if degrees else v
        squared = jnp.sum(v * v, axis=-1)
        small = squared < 1e-6
        angle = jnp.sqrt(jnp.where(small, 1.0, squared))
        scale = jnp.where(small, 0.5 - squared / 48 + squared * squared / 3840, jnp.sin(angle / 2) / angle)
        w = jnp.where(small, 1 - squared / 8 + squared * squared / 384, jnp.cos(angle / 2))
        return cls(jnp.concatenate([v * scale[..., None], w[..., None]], axis=-1))

    @classmethod
    def from_mrp(cls, mrp):
        """From modified Rodrigues parameters, u tan(t / 4)."""
        v = _array("Rotation.from_mrp", mrp, (3,), "modified Rodrigues parameters")
        squared = jnp.sum(v * v, axis=-1, keepdims=True)
        return cls(jnp.concatenate([2 * v, 1 - squared], axis=-1) / (1 + squared))

    @classmethod
    def from_euler(cls, seq: str, angles, degrees: bool = False):
        """From one to three rotations around axes, one after the other.

        Args:
          seq: the axes: ``"xyz"``, fixed, or ``"XYZ"``, turning with the body.
          angles: ``[k]`` or ``[n, k]`` for k axes; for one axis also a number or ``[n]``.
        """
        extrinsic = _sequence(seq)
        check_array_like("Rotation.from_euler", angles)
        a = jnp.asarray(angles)
        a = a if dtypes.issubdtype(a.dtype, np.floating) else a.astype(dtypes.to_inexact_dtype(a.dtype))
        k = len(seq)
        if a.ndim == 0 or (k == 1 and a.shape[-1] != 1):
            a = a[..., None]
        if a.shape[-1] != k:
            raise ValueError(f"Rotation.from_euler: {seq!r} needs {k} angles, got shape {jnp.shape(angles)}.")
        a = a * (math.pi / 180) if degrees else a
        quaternions = []
        for i, axis in enumerate(seq.lower()):
            half = a[..., i] / 2
            parts = [jnp.zeros_like(half)] * 3
            parts["xyz".index(axis)] = jnp.sin(half)
            quaternions.append(jnp.stack([*parts, jnp.cos(half)], axis=-1))
        order = quaternions[::-1] if extrinsic else quaternions
        return cls(functools.reduce(_multiply, order))

    @classmethod
    def identity(cls, num: int | None = None, dtype=float):
        """The rotation that does nothing; ``num`` of them."""
        one = jnp.array([0.0, 0.0, 0.0, 1.0], dtype=dtypes.canonicalize_user_dtype(dtype, "Rotation.identity"))
        return cls(one if num is None else jnp.tile(one, (num, 1)))

    @classmethod
    def random(cls, random_key, num: int | None = None):
        """Uniformly distributed rotations."""
        return cls(_unit(random.normal(random_key, (4,) if num is None else (num, 4))))

    # ---- to other forms

    def as_quat(self, canonical: bool = False, scalar_first: bool = False):
        """Quaternions ``[..., 4]``. ``canonical``: the scalar part is not negative. ``scalar_first``: it comes first."""
        q = _canonical(self.quat) if canonical else self.quat
        return jnp.roll(q, 1, axis=-1) if scalar_first else q

    def as_matrix(self):
        """Matrices ``[..., 3, 3]``."""
        x, y, z, w = jnp.moveaxis(self.quat, -1, 0)
        rows = [
            [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), -x * x + y * y - z * z + w * w, 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), -x * x - y * y + z * z + w * w],
        ]
        return jnp.stack([jnp.stack(r, axis=-1) for r in rows], axis=-2)

    def as_rotvec(self, degrees: bool = False):
        """Vectors along the axis whose length is the angle, in [0, pi]."""
        q = _canonical(self.quat)
        v, w = q[..., :3], q[..., 3]
        squared = jnp.sum(v * v, axis=-1)
        small = squared < 1e-6
        sine = jnp.sqrt(jnp.where(small, 1.0, squared))
        scale = jnp.where(small, 2 + squared / 3, 2 * jnp.arctan2(sine, w) / sine)
        out = v * scale[..., None]
        return out * (180 / math.pi) if degrees else out

    def as_mrp(self):
        """Modified Rodrigues parameters, u tan(t / 4), of length at most 1."""
        q = _canonical(self.quat)
        return q[..., :3] / (1 + q[..., 3:])

    def as_euler(self, seq: str, degrees: bool = False):
        """The angles of three rotations around the axes ``seq`` that make this one; see `from_euler`.

        The second is in [0, pi] if the first axis is also the last, else in [-pi/2, pi/2]. Where the first and third axis
        fall together (gimbal lock) only their sum counts, and the third angle is 0 (the first, for axes that turn).

        Source: Bernardes and Viollet, "Quaternion to Euler angles conversion", 2022.
        """
        extrinsic = _sequence(seq)
        if len(seq) != 3:
            raise ValueError(f"Rotation.as_euler: expected 3 axes, got {seq!r}.")
        i, j, k = ("xyz".index(c) for c in (seq.lower() if extrinsic else seq.lower()[::-1]))
        if i == j or j == k:
            raise ValueError(f"Rotation.as_euler: expected consecutive axes to differ, got {seq!r}.")
        symmetric = i == k
        k = 3 - i - j if symmetric else k
        sign = (i - j) * (j - k) * (k - i) / 2  # of the permutation (i, j, k)
        q = self.quat
        if symmetric:
            a, b, c, d = q[..., 3], q[..., i], q[..., j], q[..., k] * sign
        else:
            a, b = q[..., 3] - q[..., j], q[..., i] + q[..., k] * sign
            c, d = q[..., j] + q[..., 3], q[..., k] * sign - q[..., i]
        second = 2 * jnp.arctan2(jnp.hypot(c, d), jnp.hypot(a, b))
        eps = 1e-7 if second.dtype.itemsize >= 8 else 1e-4
        at_zero, at_pi = abs(second) <= eps, abs(second - math.pi) <= eps
        half_sum, half_difference = jnp.arctan2(b, a), jnp.arctan2(d, c)
        locked = at_zero | at_pi
        both = jnp.where(at_zero, 2 * half_sum, 2 * half_difference * (-1 if extrinsic else 1))
        first = jnp.where(locked, both if extrinsic else 0.0, half_sum - half_difference)
        third = jnp.where(locked, 0.0 if extrinsic else both, half_sum + half_difference)
        if not symmetric:
            third = third * sign
            second = second - math.pi / 2
        angles = [first, second, third] if extrinsic else [third, second, first]
        wrapped = [(x + math.pi) % (2 * math.pi) - math.pi for x in (angles[0], angles[2])]
        out = jnp.stack([wrapped[0], angles[1], wrapped[1]], axis=-1)
        return out * (180 / math.pi) if degrees else out

    # ---- use

    def apply(self, vectors, inverse: bool = False):
        """The rotated vectors ``[3]`` or ``[n, 3]``; with ``inverse`` rotated back."""
        v = _array("Rotation.apply", vectors, (3,), "vectors")
        m = self.as_matrix()
        m = jnp.swapaxes(m, -1, -2) if inverse else m
        return (m @ v[..., None])[..., 0]

    def inv(self):
        """The inverse rotation."""
        return Rotation(_conjugate(self.quat))

    def magnitude(self):
        """The angle, in [0, pi]."""
        v = self.quat[..., :3]
        squared = jnp.sum(v * v, axis=-1)
        sine = jnp.where(squared == 0, 0.0, jnp.sqrt(jnp.where(squared == 0, 1.0, squared)))
        return 2 * jnp.arctan2(sine, abs(self.quat[..., 3]))

    def mean(self, weights=None):
        """The rotation nearest to all, in the sense of Markley et al., "Averaging quaternions", 2007."""
        q = jnp.atleast_2d(self.quat)
        w = jnp.ones(q.shape[0], q.dtype) if weights is None else jnp.asarray(weights).astype(q.dtype)
        if w.shape != q.shape[:1]:
            raise ValueError(f"Rotation.mean: expected {q.shape[0]} weights, got shape {w.shape}.")
        _, v = jnp.linalg.eigh((q * w[:, None]).T @ q)
        return Rotation(v[:, -1])

    @property
    def single(self) -> bool:
        """Whether this is one rotation and not several."""
        return self.quat.ndim == 1

    def __mul__(self, other) -> Rotation:
        """The rotation by ``other``, then by this."""
        if not isinstance(other, Rotation):
            return NotImplemented
        return Rotation(_multiply(*jnp.broadcast_arrays(self.quat, other.quat)))

    def __getitem__(self, indexer):
        if self.single:
            raise TypeError("Single rotation is not subscriptable.")
        return Rotation(self.quat[indexer])

    def __len__(self) -> int:
        if self.single:
            raise TypeError("Single rotation has no len().")
        return self.quat.shape[0]


def _sequence(seq: str) -> bool:
    """Whether the axes are fixed (lower case), after checking them."""
    if re.fullmatch("[xyz]{1,3}", seq):
        extrinsic = True
    elif re.fullmatch("[XYZ]{1,3}", seq):
        extrinsic = False
    else:
        raise ValueError(f"Expected axes from `seq` to be from ['x', 'y', 'z'] or ['X', 'Y', 'Z'], got {seq!r}.")
    if any(a == b for a, b in itertools.pairwise(seq)):
        raise ValueError(f"Expected consecutive axes to be different, got {seq!r}.")
    return extrinsic


class Slerp(NamedTuple):
    """Spherical linear interpolation of rotations: between two times the rotation turns at constant speed.

    Make one by ``Slerp.init(times, rotations)``.
    """

    times: Any
    timedelta: Any
    rotations: Rotation
    rotvecs: Any

    @classmethod
    def init(cls, times, rotations: Rotation):
        """From increasing times ``[n]`` and as many rotations, at least 2."""
        if not isinstance(rotations, Rotation):
            raise TypeError(f"`rotations` must be a `Rotation` instance, got {type(rotations).__name__}.")
        if rotations.single or len(rotations) < 2:
            raise ValueError("`rotations` must be a sequence of at least 2 rotations.")
        check_array_like("Slerp.init", times)
        t: Any = jnp.asarray(times)
        t = t if dtypes.issubdtype(t.dtype, np.floating) else asarray(t, rotations.quat.dtype)
        if t.ndim != 1:
            raise ValueError(f"Expected times to be specified in a 1 dimensional array, got {t.ndim} dimensions.")
        if t.shape[0] != len(rotations):
            raise ValueError(
                f"Expected number of rotations to be equal to number of timestamps given, got {len(rotations)} rotations "
                f"and {t.shape[0]} timestamps."
            )
        if not isinstance(t, Tracer) and not bool((np.asarray(t)[1:] > np.asarray(t)[:-1]).all()):
            raise ValueError("Times must be in strictly increasing order.")
        start: Any = rotations[:-1]
        turns: Any = start.inv() * rotations[1:]
        gaps = asarray(t)[1:] - asarray(t)[:-1]
        return cls(t, gaps, start, turns.as_rotvec())

    def __call__(self, times) -> Rotation:
        """The rotations at the times, a number or ``[m]``; beyond the ends the first or last turn goes on."""
        check_array_like("Slerp", times)
        t: Any = jnp.asarray(times).astype(self.times.dtype)
        if t.ndim > 1:
            raise ValueError(f"`times` must be at most 1-dimensional, got {t.ndim} dimensions.")
        i: Any = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, self.timedelta.shape[0] - 1)
        part = (t - self.times[i]) / self.timedelta[i]
        return self.rotations[i] * Rotation.from_rotvec(self.rotvecs[i] * part[..., None])


__all__ = ["Rotation", "Slerp"]
