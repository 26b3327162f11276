"""user_frame(): the user's line, also through internal frames, generators and C callers."""

from __future__ import annotations

import sys
import types

from addax import _native


def internal(source: str, **namespace):
    """Functions that user_frame() must pass over."""
    _native.register_internal_path("<addax internal>")
    exec(compile(source, "<addax internal>/x.py", "exec"), namespace)
    return types.SimpleNamespace(**namespace)


inner = internal(
    """
def where(): return user_frame()
def deep(n): return deep(n - 1) if n else where()
def through_c(): return list(map(lambda _: where(), [0]))[0]
class Class:
    found = staticmethod(where)
    def __init__(self): self.found = where()
""",
    user_frame=_native.user_frame,
)


def line_of(place):
    code, lasti = place
    return [line for line, _, _, _ in code.co_positions()][lasti // 2]


def test_the_callers_line_is_found():
    for find in (_native.user_frame, inner.where, inner.through_c, lambda: inner.deep(50), lambda: inner.Class().found):
        here = sys._getframe()
        place, line = find(), here.f_lineno
        if find.__name__ == "<lambda>":
            assert place[0] is find.__code__
        else:
            assert place[0] is here.f_code and line_of(place) == line


def test_generators_and_comprehensions():
    def generate():
        yield inner.where()

    assert next(generate())[0] is generate.__code__
    assert [inner.where() for _ in range(2)][1][0].co_filename == __file__
    assert next(map(lambda x: inner.where(), [1]))[0].co_name == "<lambda>"  # noqa: C417


def test_no_user_frame():
    _native.register_internal_path("<no user at all>")
    code = compile("found = user_frame()", "<no user at all>", "exec")
    namespace = {"user_frame": _native.user_frame}
    exec(code, namespace)
    assert namespace["found"][0] is sys._getframe().f_code


def test_the_interpreters_own_stack_can_be_read():
    _native.user_frame()
    assert _native.frame_walk() == "fast"
