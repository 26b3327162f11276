"""addax.scipy.spatial.transform against SciPy."""

from __future__ import annotations

import itertools

import jax.scipy.spatial.transform as theirs
import numpy as np
import pytest
from scipy.spatial.transform import Rotation as Exact, Slerp as ExactSlerp

import addax
import addax.numpy as anp
from addax.scipy.spatial.transform import Rotation, Slerp

RNG = np.random.default_rng(0)
Q = RNG.normal(size=(6, 4)).astype(np.float32)
OURS, EXACT = Rotation.from_quat(Q), Exact.from_quat(Q)


def close(got, want, tol=2e-5):
    np.testing.assert_allclose(np.asarray(got), want, rtol=tol, atol=tol)


def same(got: Rotation, want: Exact, tol=1e-5):
    close(got.as_matrix(), want.as_matrix(), tol)


def test_everything_that_jax_has():
    for cls, ours in ((theirs.Rotation, Rotation), (theirs.Slerp, Slerp)):
        assert [n for n in dir(cls) if not n.startswith("_") and not hasattr(ours, n)] == []


def test_forms():
    same(OURS, EXACT)
    same(OURS[0], EXACT[0])
    close(OURS.as_quat(), EXACT.as_quat())
    close(OURS.as_quat(canonical=True), EXACT.as_quat(canonical=True))
    close(OURS.as_quat(scalar_first=True), EXACT.as_quat(scalar_first=True))
    close(OURS.as_rotvec(), EXACT.as_rotvec())
    close(OURS.as_rotvec(degrees=True), EXACT.as_rotvec(degrees=True), 1e-4)
    close(OURS.as_mrp(), EXACT.as_mrp())
    close(OURS.magnitude(), EXACT.magnitude())
    same(Rotation.from_matrix(EXACT.as_matrix().astype(np.float32)), EXACT)
    half_turns = Exact.from_rotvec(np.pi * np.eye(3))
    same(Rotation.from_matrix(half_turns.as_matrix().astype(np.float32)), half_turns)
    same(Rotation.from_rotvec(EXACT.as_rotvec().astype(np.float32)), EXACT)
    same(Rotation.from_rotvec(np.float32([1e-4, 0, 0])), Exact.from_rotvec([1e-4, 0, 0]))
    same(Rotation.from_mrp(EXACT.as_mrp().astype(np.float32)), EXACT)
    same(Rotation.identity(3), Exact.identity(3))
    same(Rotation.concatenate([OURS[:2], OURS[4]]), Exact.concatenate([EXACT[:2], EXACT[4]]))


def test_euler_angles():
    for letters in itertools.product("xyz", repeat=3):
        seq = "".join(letters)
        if seq[0] == seq[1] or seq[1] == seq[2]:
            continue
        for s in (seq, seq.upper()):
            close(OURS.as_euler(s), EXACT.as_euler(s), 2e-4)
            same(Rotation.from_euler(s, EXACT.as_euler(s).astype(np.float32)), EXACT, 2e-5)
            for angle in (0.0, 90.0, 180.0, -90.0):  # gimbal lock
                locked = Exact.from_euler(s, [30.0, angle, 20.0], degrees=True)
                angles = Rotation.from_quat(locked.as_quat().astype(np.float32)).as_euler(s)
                same(Rotation.from_euler(s, angles), locked, 2e-3)
    same(Rotation.from_euler("x", 90.0, degrees=True), Exact.from_euler("x", 90.0, degrees=True))
    same(Rotation.from_euler("ZX", np.float32([0.1, 0.2])), Exact.from_euler("ZX", [0.1, 0.2]))
    same(Rotation.from_euler("y", np.float32([0.1, 0.2])), Exact.from_euler("y", [[0.1], [0.2]]))


def test_use():
    v = RNG.normal(size=(6, 3)).astype(np.float32)
    close(OURS.apply(v), EXACT.apply(v), 1e-5)
    close(OURS.apply(v[0], inverse=True), EXACT.apply(v[0], inverse=True), 1e-5)
    same(OURS * OURS.inv()[::-1], EXACT * EXACT.inv()[::-1])
    same(OURS[0] * OURS, EXACT[0] * EXACT)
    same(OURS.mean(), EXACT.mean(), 1e-4)
    same(OURS.mean(np.arange(6)), EXACT.mean(np.arange(6)), 1e-4)
    assert len(OURS) == 6 and not OURS.single and OURS[0].single
    turned = addax.jit(addax.vmap(lambda r, v: r.apply(v)))(OURS, v)
    close(turned, EXACT.apply(v), 1e-5)
    slope = addax.grad(lambda w: Rotation.from_rotvec(w).apply(v[0])[0])(anp.zeros(3))
    close(slope, [0, v[0, 2], -v[0, 1]])
    random = Rotation.random(addax.random.key(0), 500)
    close(anp.linalg.norm(random.as_quat(), axis=1), np.ones(500))
    assert abs(random.apply(v[0]).mean(0)).max() < 0.3


def test_interpolation():
    times = np.array([0.0, 1.0, 2.5, 3.0, 4.0, 7.0], np.float32)
    at = np.array([0.0, 0.3, 1.0, 2.0, 6.5, 7.0], np.float32)
    ours, exact = Slerp.init(times, OURS), ExactSlerp(times, EXACT)
    same(ours(at), exact(at), 1e-4)
    same(addax.jit(lambda s, t: s(t))(ours, at[1]), exact(at[1]), 1e-4)


def test_errors():
    for call, error, text in [
        (lambda: Rotation.from_quat(np.ones(3)), ValueError, "expected quaternions of shape"),
        (lambda: Rotation.from_euler("xq", [0.1, 0.2]), ValueError, "Expected axes"),
        (lambda: Rotation.from_euler("xx", np.ones(2)), ValueError, "consecutive axes"),
        (lambda: Rotation.from_euler("xyz", np.ones(2)), ValueError, "needs 3 angles"),
        (lambda: OURS.as_euler("xy"), ValueError, "expected 3 axes"),
        (lambda: OURS[0][0], TypeError, "not subscriptable"),
        (lambda: len(OURS[0]), TypeError, r"no len\(\)"),
        (lambda: OURS.apply(np.ones(2)), ValueError, "expected vectors"),
        (lambda: Slerp.init(np.arange(5.0), OURS), ValueError, "6 rotations and 5 timestamps"),
        (lambda: Slerp.init(np.zeros(6), OURS), ValueError, "strictly increasing"),
        (lambda: Slerp.init(np.zeros(1), OURS[0]), ValueError, "at least 2"),
    ]:
        with pytest.raises(error, match=text):
            call()
