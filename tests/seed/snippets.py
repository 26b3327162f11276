"""The snippets of "Thinking in JAX" (chapters 1-5, 7, 8 and 10), letter for letter; test_snippets.py runs them."""

# ruff: noqa
# fmt: off

SNIPPETS = {
"immutability": r"""
# NumPy: mutation is fine
import numpy as np
x = np.array([1, 2, 3])
x[0] = 99  # modifies x in place

# JAX: must create a new array
import jax.numpy as jnp
x = jnp.array([1, 2, 3])
x = x.at[0].set(99)  # returns NEW array [99, 2, 3]
""",
"bounds": r"""
# NumPy: raises IndexError
np.array([1, 2, 3])[10]  # IndexError!

# JAX: clamps to last element
jnp.array([1, 2, 3])[10]  # returns 3 (clipped to index 2)
""",
"impure": r"""
# IMPURE: reads a global variable
bias = 1.0
def add_bias(x):
    return x + bias  # captures bias at TRACE time

f = jax.jit(add_bias)
print(f(5.0))   # 6.0  (correct, bias=1.0 at trace time)
bias = 2.0           # change the global
print(f(5.0))   # 6.0  (WRONG! Still uses bias=1.0)
""",
"pure": r"""
# PURE: everything is an argument
def add_bias(x, bias):
    return x + bias  # bias is now a traced value

f = jax.jit(add_bias)
print(f(5.0, 1.0))  # 6.0
print(f(5.0, 2.0))  # 7.0  (correct!)
""",
"prints": r"""
@jax.jit
def my_fn(x):
    print("Traced!", x)           # runs once, x is a Tracer object
    jax.debug.print("Value: {}", x) # runs every call, x is real value
    return x * 2
""",
"jaxpr": r"""
def f(x):
    return jnp.sin(x) ** 2 + jnp.cos(x) ** 2

# See the jaxpr (the computation graph)
jax.make_jaxpr(f)(jnp.array(1.0))
# { lambda ; a:f32[]. let
#     b:f32[] = sin a
#     c:f32[] = integer_pow b 2
#     d:f32[] = cos a
#     e:f32[] = integer_pow d 2
#     f:f32[] = add c e
#   in (f,) }
""",
"branches": r"""
# Python if: evaluated at trace time — WRONG inside jit
@jax.jit
def bad_abs(x):
    if x > 0:   # ConcretizationTypeError!
        return x
    return -x

# JAX cond: both branches are traced
@jax.jit
def good_abs(x):
    return jax.lax.cond(x > 0, lambda x: x, lambda x: -x, x)
""",
"grad": r"""
def f(x):
    return jnp.sin(x) ** 2 + 1.0

# grad returns a FUNCTION that computes df/dx
df = jax.grad(f)
df(0.5)  # = 2*sin(0.5)*cos(0.5) = sin(1.0) ≈ 0.8415

# Higher-order derivatives: just nest grad!
d2f = jax.grad(jax.grad(f))
d2f(0.5)  # second derivative
""",
"argnums": r"""
def loss(params, x, y):
    pred = params @ x
    return jnp.mean((pred - y) ** 2)

# Gradient w.r.t. params (arg 0) only
grad_fn = jax.grad(loss, argnums=0)

# Gradient w.r.t. params AND x
grad_fn = jax.grad(loss, argnums=(0, 1))
""",
"vmap": r"""
# Function for ONE example
def predict(params, x):
    return jnp.dot(params, x)  # params: (out, in), x: (in,)

# Manually batch: loop (slow) or reshape (error-prone)
preds = jnp.stack([predict(params, xi) for xi in batch])  # slow!

# vmap: automatic vectorization
batch_predict = jax.vmap(predict, in_axes=(None, 0))
preds = batch_predict(params, batch)  # batch: (64, in) → preds: (64, out)
""",
"per_example": r"""
# Per-example gradient: vmap over grad
def loss_fn(params, x, y):
    pred = jnp.dot(params, x)
    return (pred - y) ** 2

# grad w.r.t. params for ONE (x, y) pair
single_grad = jax.grad(loss_fn)

# vmap to get per-example gradients for whole batch
per_example_grads = jax.vmap(single_grad, in_axes=(None, 0, 0))
grads = per_example_grads(params, x_batch, y_batch)
# grads has shape (batch_size, *params.shape)
""",
"params": r"""
# A typical neural network parameter tree
params = {
    'layer1': {'w': jnp.zeros((784, 256)), 'b': jnp.zeros(256)},
    'layer2': {'w': jnp.zeros((256, 10)),  'b': jnp.zeros(10)},
}
# This is a PyTree: a nested dict containing JAX arrays as leaves
""",
"tree_map": r"""
# Apply weight decay to every parameter
params = jax.tree.map(lambda p: p * 0.99, params)

# SGD update: params = params - lr * grads
params = jax.tree.map(
    lambda p, g: p - 0.01 * g,
    params, grads
)
""",
"split": r"""
import jax.random as jr

# Create an initial key (seed)
key = jr.key(42)

# Split into two independent keys
key, subkey = jr.split(key)

# Use subkey for random operations, keep key for future splits
noise = jr.normal(subkey, shape=(3, 3))

# Split into many keys (for a batch of random inits)
keys = jr.split(key, num=10)  # 10 independent keys
""",
"loop": r"""
key = jr.key(0)
for step in range(1000):
    key, dropout_key, noise_key = jr.split(key, 3)
    loss, grads = train_step(params, batch, dropout_key)
    params = update(params, grads)
    # key has been split — next iteration uses a fresh key
""",
"training": r"""
import jax
import jax.numpy as jnp
import jax.random as jr

def init_params(key):
    k1, k2 = jr.split(key)
    return {
        'w1': jr.normal(k1, (784, 256)) * 0.01,
        'b1': jnp.zeros(256),
        'w2': jr.normal(k2, (256, 10)) * 0.01,
        'b2': jnp.zeros(10),
    }

def predict(params, x):
    h = jnp.tanh(x @ params['w1'] + params['b1'])
    return h @ params['w2'] + params['b2']

def loss_fn(params, x, y):
    logits = predict(params, x)
    return jnp.mean((logits - y) ** 2)

@jax.jit
def train_step(params, x, y, lr):
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    params = jax.tree.map(lambda p, g: p - lr * g, params, grads)
    return params, loss

# Training loop
key = jr.key(42)
params = init_params(key)
for step in range(1000):
    params, loss = train_step(params, x_batch, y_batch, 0.01)
    if step % 100 == 0:
        print(f"Step {step}, Loss: {loss:.4f}")
""",
}
