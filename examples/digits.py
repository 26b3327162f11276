"""Train a classifier on the handwritten digits that scikit-learn ships: the loop of "Thinking in JAX", chapter 10.

All state is in ``params`` and ``velocity`` (pytrees), ``train_step`` is pure and compiled, ``value_and_grad`` gives loss
and gradients in one pass, ``tree.map`` applies momentum SGD to every leaf, and every random number comes from a key that
was split for it. Run it with ``make demo``; it writes ``digits.png``.
"""

from __future__ import annotations

import sys
import time

start = time.perf_counter()
import numpy as np  # noqa: E402

numpy_ready = time.perf_counter()
import addax  # noqa: E402
import addax.numpy as jnp  # noqa: E402
import addax.random as jr  # noqa: E402

import_ms = (time.perf_counter() - numpy_ready) * 1e3

EPOCHS, BATCH, HIDDEN, MOMENTUM = 40, 128, 256, 0.9


def load_digits():
    """1,797 images of 8x8 pixels: 1,437 to learn from, 360 held out."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = (images[order] / 16.0).astype(np.float32)
    y = labels[order].astype(np.int32)
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def init_params(key):
    k1, k2 = jr.split(key)
    return {
        "w1": jr.normal(k1, (64, HIDDEN)) * (2.0 / 64) ** 0.5,
        "b1": jnp.zeros(HIDDEN),
        "w2": jr.normal(k2, (HIDDEN, 10)) * (1.0 / HIDDEN) ** 0.5,
        "b2": jnp.zeros(10),
    }


def predict(params, x):
    h = jnp.tanh(x @ params["w1"] + params["b1"])
    return h @ params["w2"] + params["b2"]


def loss_fn(params, x, y):
    logits = predict(params, x)
    log_p = logits - jnp.max(logits, axis=1, keepdims=True)
    log_p = log_p - jnp.log(jnp.sum(jnp.exp(log_p), axis=1, keepdims=True))
    return -jnp.mean(jnp.sum(log_p * (y[:, None] == jnp.arange(10)), axis=1))


@addax.jit
def train_step(params, velocity, x, y, key, lr):
    """One step of momentum SGD on images shifted by a little noise."""
    x = x + 0.05 * jr.normal(key, x.shape)
    loss, grads = addax.value_and_grad(loss_fn)(params, x, y)
    velocity = addax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
    params = addax.tree.map(lambda p, v: p - lr * v, params, velocity)
    return params, velocity, loss


@addax.jit
def classify(params, x):
    return jnp.argmax(predict(params, x), axis=1)


def progress(step: int, total: int, loss: float, accuracy: float) -> None:
    width = 30
    done = width * step // total
    end = "\n" if step == total else ""
    if sys.stdout.isatty():
        bar = "#" * done + "." * (width - done)
        print(f"\r[{bar}] {step}/{total}  loss {loss:.4f}  held-out {accuracy:.1%}", end=end, flush=True)
    elif step == total or step % (total // 8) == 0:
        print(f"epoch {step:3d}/{total}  loss {loss:.4f}  held-out accuracy {accuracy:.1%}", flush=True)


def draw(path: str, losses, accuracies, x, y, guesses) -> None:
    """Loss and accuracy curves, the confusion matrix, and the images that were misread."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 8), constrained_layout=True)
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2))
    curves, accuracy, confusion = top.subplots(1, 3)
    curves.semilogy(losses, lw=0.8)
    curves.set(title="training loss", xlabel="step")
    accuracy.plot(100 * np.array(accuracies))
    accuracy.set(title="held-out accuracy (%)", xlabel="epoch", ylim=(90, 100))
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, guesses), 1)
    confusion.imshow(np.log1p(counts), cmap="Blues")
    for i in range(10):
        for j in range(10):
            if counts[i, j]:
                confusion.text(j, i, counts[i, j], ha="center", va="center", fontsize=7)
    confusion.set(title="confusion matrix", xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
    wrong = np.flatnonzero(y != guesses)
    bottom.suptitle(f"the {len(wrong)} misread of {len(y)} held-out digits")
    for i, k in enumerate(wrong[:12]):
        axes = bottom.add_subplot(2, 6, i + 1)
        axes.imshow(x[k].reshape(8, 8), cmap="gray_r")
        axes.set_title(f"{y[k]} read as {guesses[k]}", fontsize=9)
        axes.axis("off")
    figure.savefig(path, dpi=110)


def main() -> float:
    (x_train, y_train), (x_test, y_test) = load_digits()
    key = jr.key(42)
    key, init_key = jr.split(key)
    params = init_params(init_key)
    velocity = addax.tree.map(jnp.zeros_like, params)

    example = (params, velocity, x_train[:BATCH], y_train[:BATCH], key, 0.1)
    t0 = time.perf_counter()
    traced = train_step.trace(*example)
    t1 = time.perf_counter()
    train_step(*example)
    t2 = time.perf_counter()
    steps, losses, accuracies = 0, [], []
    in_steps = 0.0
    for epoch in range(EPOCHS):
        key, shuffle_key = jr.split(key)
        order = np.asarray(jr.permutation(shuffle_key, len(y_train)))
        lr = 0.1 * 0.93**epoch
        for batch in range(len(y_train) // BATCH):
            index = order[batch * BATCH : (batch + 1) * BATCH]
            key, noise_key = jr.split(key)
            begin = time.perf_counter()
            params, velocity, loss = train_step(params, velocity, x_train[index], y_train[index], noise_key, lr)
            in_steps += time.perf_counter() - begin
            losses.append(float(loss))
            steps += 1
        accuracies.append(float(np.mean(np.asarray(classify(params, x_test)) == y_test)))
        progress(epoch + 1, EPOCHS, losses[-1], accuracies[-1])

    guesses = np.asarray(classify(params, x_test))
    draw("digits.png", losses, accuracies, x_test, y_test, guesses)
    print(f"import addax   {import_ms:8.1f} ms (after NumPy's {(numpy_ready - start) * 1e3:.0f} ms)")
    print(f"trace          {(t1 - t0) * 1e3:8.1f} ms ({len(traced.jaxpr.eqns)} equations)")
    print(f"compile        {(t2 - t1) * 1e3:8.1f} ms (first call, after tracing)")
    print(f"step           {in_steps / steps * 1e6:8.1f} us ({steps} steps of {BATCH} images)")
    print(f"accuracy       {accuracies[-1]:8.1%} on {len(y_test)} held-out digits -> digits.png")
    return accuracies[-1]


if __name__ == "__main__":
    if main() < 0.97:
        sys.exit("accuracy is below 97%")
