"""PRNG keys are not numbers: whatever hands out elements as such refuses, and says what to write instead."""

import copy
import operator
import pickle

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import random
from addax.engines.reference.interpret import evaluate

ASKING = {
    "float": float,
    "int": int,
    "bool": bool,
    "complex": complex,
    "operator.index": operator.index,
    "numpy.asarray": np.asarray,
    "memoryview": memoryview,
    "__dlpack__": np.from_dlpack,
    "item": lambda k: k.item(),
    "tolist": lambda k: k.tolist(),
    "tobytes": lambda k: k.tobytes(),
    "format": lambda k: f"{k:.2f}",
}


@pytest.mark.parametrize("shape", ["key<fry>[]", "key<fry>[3]"])
@pytest.mark.parametrize("what", ASKING)
def test_refusal(what, shape):
    keys = random.split(random.key(0), 3) if "3" in shape else random.key(0)
    with pytest.raises(TypeError) as e:
        ASKING[what](keys)
    assert str(e.value) == (
        f"{what}: {shape} is an array of PRNG keys, which are not numbers. addax.random.key_data(key) gives the uint32 words "
        "behind them."
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda k: np.add(k, 1),
        lambda k: np.array([k]),
        lambda k: np.stack([k]),
        lambda k: np.asarray(k, np.float32),
        lambda k: np.float32(k),
        lambda k: np.zeros(3)[k],
        lambda k: [1, 2, 3][k],
        lambda k: 1 if k else 2,
        lambda k: np.testing.assert_array_equal(k, k),
        lambda k: jnp.zeros((k,)),
    ],
)
def test_no_way_around(use):
    with pytest.raises(TypeError):
        use(random.key(1))


def test_what_keys_can_do():
    key, keys = random.key(7), random.split(random.key(7), 3)
    text = "Array((), dtype=key<fry>) overlaying:\n[0 7]"
    assert repr(key) == str(key) == f"{key}" == jnp.array_str(key) == jnp.array_repr(key) == text
    assert repr({"a": key}) == f"{{'a': {text}}}"
    assert "key<fry>[3]" in str(keys.aval)
    same = [copy.copy(keys), copy.deepcopy(keys), pickle.loads(pickle.dumps(keys)), keys.copy(), jnp.array(keys)]
    same += [addax.device_put(keys), addax.device_get({"k": keys})["k"], jnp.stack(list(keys)), keys[:]]
    for other in same:
        assert other.dtype == keys.dtype
        assert (other == keys).tolist() == [True] * 3
    assert (keys == keys[1]).tolist() == [False, True, False]
    assert (keys != keys[1]).tolist() == [True, False, True]
    assert keys.at[0].set(key)[0] == key
    assert keys._value.dtype == np.uint64  # for those who know what they do


def test_host_functions_get_the_words(capsys):
    key = random.key(5)

    @addax.jit
    def program(k):
        addax.debug.print("{}", k)
        word = addax.ShapeDtypeStruct((2,), np.uint32)
        return addax.pure_callback(lambda words: words, word, k)

    assert program(key).tolist() == random.key_data(key).tolist() == [0, 5]
    assert capsys.readouterr().out == "[0 5]\n"


def test_programs_close_over_keys():
    key = random.key(5)
    closed = addax.make_jaxpr(lambda x: random.key_data(key) + x)(np.uint32(1))
    assert evaluate(closed, [np.uint32(1)])[0].tolist() == [1, 6]


def test_format_of_a_traced_value():
    with pytest.raises(addax.errors.ConcretizationTypeError, match=r"format specification '\.2f'.*addax\.debug\.print"):
        addax.jit(lambda x: f"{x:.2f}")(1.0)
    assert addax.grad(lambda x: x * float(f"{x:.1f}"))(1.26) == np.float32(1.3)
