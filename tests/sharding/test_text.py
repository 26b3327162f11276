"""Programs over meshes as text: printed, they are read back, and compute the same."""

from __future__ import annotations

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.jaxpr import eval_jaxpr
from addax.core.parser import parse
from addax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec as P

X = np.linspace(0.0, 1.0, 32, dtype=np.float32).reshape(8, 4)


def summed(mesh, **options):
    return addax.shard_map(
        lambda v: lax.psum(jnp.sin(v) * 2, "x"), mesh=mesh, in_specs=P("x"), out_specs=P(), **options
    )


PROGRAMS = {
    "shard_map": summed,
    "unchecked": lambda mesh: summed(mesh, check_vma=False),
    "gradient": lambda mesh: addax.grad(lambda v: summed(mesh)(v).sum()),
    "some axes": lambda mesh: summed(mesh, axis_names={"x"}),
    "constraint": lambda mesh: lambda v: lax.with_sharding_constraint(v, NamedSharding(mesh, P("x", ("y",)))),
    "free": lambda mesh: lambda v: lax.with_sharding_constraint(v, NamedSharding(mesh, P(P.UNCONSTRAINED, "y"))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_printed_is_read_back(name, mesh):
    with addax.set_mesh(mesh):  # whose devices are not in the text
        closed = addax.make_jaxpr(PROGRAMS[name](mesh))(X)
        text = str(closed)
        again = parse(text)
        assert str(again) == text
        (want,), (got,) = (addax.jit(lambda x, j=j: eval_jaxpr(j, [], x))(X) for j in (closed.jaxpr, again))
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def test_abstract_meshes():
    mesh = AbstractMesh((2, 3), ("x", "y"), (AxisType.Auto, AxisType.Explicit))
    text = str(addax.make_jaxpr(summed(mesh, check_vma=False))(X))
    assert "mesh=AbstractMesh('x': 2, 'y': 3, axis_types=(Auto, Explicit))" in text
    assert str(parse(text)) == text


@pytest.mark.parametrize("name", PROGRAMS)
def test_meshes_without_devices_are_enough_for_stablehlo(name, mesh):
    def text(mesh):
        spec = addax.ShapeDtypeStruct(X.shape, X.dtype, sharding=NamedSharding(mesh, P("x")))
        return addax.jit(PROGRAMS[name](mesh)).lower(spec).as_text("stablehlo")

    assert text(AbstractMesh((4, 2), ("x", "y"))) == text(mesh)
    assert "mhlo.num_partitions = 512" in text(AbstractMesh((8, 64), ("x", "y")))


def test_what_needs_devices_is_refused():
    where = NamedSharding(AbstractMesh((4, 2), ("x", "y")), P("x"))
    lowered = addax.jit(jnp.sin).lower(addax.ShapeDtypeStruct(X.shape, X.dtype, sharding=where))
    for use in (lambda: lowered.compile()(X), lowered.cost_analysis, lambda: lowered.as_text("hlo")):
        with pytest.raises(
            ValueError, match="needs devices, and the arguments of this program are laid out over an AbstractM"
        ):
            use()
    with pytest.raises(ValueError, match=r"argument x of sin: .*AbstractMesh.*pad it to 8"):
        addax.jit(jnp.sin).lower(addax.ShapeDtypeStruct((6,), X.dtype, sharding=where)).as_text("stablehlo")
