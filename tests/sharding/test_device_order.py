"""The devices of a mesh may stand in any order."""

import numpy as np

import addax
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

X = np.arange(64, dtype=np.float32).reshape(8, 8)


def test_meshes_that_order_the_same_devices_differently(devices):
    """Parts stay with their devices, whichever mesh a program, an argument or a result names."""
    line = Mesh(np.array(devices), ("i",))
    turned = Mesh(np.array(devices)[[3, 1, 2, 0, 7, 5, 6, 4]].reshape(2, 4), ("a", "b"))
    here, there = NamedSharding(line, P("i")), NamedSharding(turned, P(("b", "a")))
    x, y = addax.device_put(X, here), addax.device_put(2 * X, there)
    np.testing.assert_array_equal(y, 2 * X)
    np.testing.assert_array_equal(addax.device_put(x, there), X)
    for shard in y.addressable_shards:
        np.testing.assert_array_equal(shard.data, 2 * X[shard.index])
        assert shard.data.devices() == {shard.device}
    both = addax.jit(lambda x, y: (x + y, x * y), out_shardings=(there, None))(x, y)
    np.testing.assert_array_equal(both[0], 3 * X)
    np.testing.assert_array_equal(both[1], 2 * X * X)
    assert both[0].sharding is there
    np.testing.assert_array_equal(both[0] + y, 5 * X)
