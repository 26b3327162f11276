"""Programs whose results nobody reads: on virtual CPU devices XLA takes only so many at a time, and must not be driven into
waiting for itself, which ends the process.
"""

import subprocess
import sys

import pytest

START = """
import numpy as np, addax, addax.numpy as jnp
addax.config.update("addax_num_cpu_devices", 8)
mesh, P = addax.make_mesh((8,), ("i",)), addax.P
rows = addax.NamedSharding(mesh, P("i"))
x = addax.device_put(np.ones(64, np.float32), rows)
matrices = addax.device_put(np.eye(200, dtype=np.float32) * np.ones((8, 1, 1), np.float32), rows)
step = addax.jit(addax.shard_map(lambda v: v / 2 + addax.lax.psum(v.sum(), "i") / 128, mesh=mesh, in_specs=P("i"), out_specs=P("i")))
slow = addax.jit(lambda v: addax.lax.fori_loop(0, 30, lambda i, v: v @ v, v))
"""

PROGRAMS = {
    "a loop": "for _ in range(300): x = step(x)\nassert (x == 1).all()",
    "a slow program, a collective, many others": """
total = step(slow(matrices).reshape(64, -1).max(1))
many = [x + 1 for _ in range(100)]
assert (total == 1).all() and all((y == 2).all() for y in many)
""",
    "one device among them": """
y = addax.device_put(np.eye(200, dtype=np.float32), addax.devices()[5])
square = addax.jit(lambda v: v @ v)
for _ in range(4):
    total = step(slow(matrices).reshape(64, -1).max(1))
    for _ in range(60): y = square(y)
    many = [x + 1 for _ in range(40)]
assert (total == 1).all() and (y == np.eye(200)).all()
""",
    # What tokens for some of the programs rest on: XLA runs those for several devices one after the other.
    "order": """
def uneven(v):
    rounds = jnp.where(addax.lax.axis_index("i") == 0, 100, 1)
    return addax.lax.fori_loop(0, rounds, lambda _, v: jnp.tanh(v @ v), v)
uneven = addax.jit(addax.shard_map(uneven, mesh=mesh, in_specs=P("i"), out_specs=P("i"), check_vma=False))
half = addax.sharding.Mesh(mesh.devices[4:], ("i",))
others = addax.device_put(np.ones(64, np.float32), addax.NamedSharding(half, P("i")))
plus = addax.jit(lambda v: v + 1)
addax.block_until_ready((uneven(matrices), step(x), plus(x), plus(others)))
for small, arg in ((step, x), (plus, x), (plus, others)):
    first = uneven(matrices)
    small(arg).block_until_ready()
    assert first.is_ready()
""",
    "donated": """
step = addax.jit(step, donate_argnums=0)
for _ in range(300): x = step(x)
assert (x == 1).all()
""",
    "threads": """
import threading
def work():
    y = x
    for _ in range(30): y = step(y); x + 1
    results.append(y)
results = []
threads = [threading.Thread(target=work) for _ in range(48)]
for t in threads: t.start()
for t in threads: t.join()
assert len(results) == 48 and all((y == 1).all() for y in results)
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_results_need_not_be_read(program):
    done = subprocess.run(
        [sys.executable, "-c", START + PROGRAMS[program] + "\nprint('done')"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "done\n", done.stderr[-2000:]
