"""Partition specs, equality of shardings, and the mesh in scope: what needs one device only."""

import pickle
import threading

import jax
import jax.sharding
import numpy as np

import addax
from addax.core.mesh import current_mesh
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

SPECS = [(), (None,), ("x",), ("x", None), (("x", "y"),), (("x",), ()), (None, "y")]


def test_specs_are_those_of_jax():
    J = jax.sharding.PartitionSpec
    assert [[repr(P(*a)), P(*a).unreduced, P(*a).reduced] for a in SPECS] == [
        [repr(J(*a)), J(*a).unreduced, J(*a).reduced] for a in SPECS
    ]
    assert [[P(*a) == P(*b) for b in SPECS] for a in SPECS] == [[J(*a) == J(*b) for b in SPECS] for a in SPECS]
    assert (P("x") == ("x",)) is (J("x") == ("x",))
    assert repr(P("x").update(partitions=("y", None))) == repr(J("x").update(partitions=("y", None)))
    assert P("x").update() == P("x")


def test_a_pickled_spec_is_unconstrained_where_it_was():
    spec = pickle.loads(pickle.dumps(P("x", P.UNCONSTRAINED)))
    assert spec[1] is P.UNCONSTRAINED and spec == P("x", P.UNCONSTRAINED)


def test_equivalent_shardings():
    ours, theirs = (
        [Mesh(np.array(addax.devices()[:1]).reshape(1, 1), ("x", "y"))],
        [jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("x", "y"))],
    )

    def table(meshes, named, spec):
        all_ = [named(m, spec(*s)) for m in meshes for s in SPECS]
        return [[a.is_equivalent_to(b, 2) for b in all_] for a in all_]

    assert table(ours, NamedSharding, P) == table(theirs, jax.sharding.NamedSharding, jax.sharding.PartitionSpec)
    assert NamedSharding(ours[0], P("x", None)).is_equivalent_to(NamedSharding(ours[0], P("x")), 1)


def test_with_blocks_of_one_mesh_in_two_threads():
    """What the other thread leaves in the meantime is its own block."""
    mesh, other = (Mesh(np.array(addax.devices()[:1]), (name,)) for name in "ab")
    inside, left = threading.Event(), threading.Event()

    def run():
        with other, mesh:
            inside.set()
            left.wait(10)

    thread = threading.Thread(target=run)
    with mesh:
        thread.start()
        assert inside.wait(10)
    assert current_mesh() is None
    left.set()
    thread.join()
