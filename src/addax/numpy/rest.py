"""Integration only: functions of modules that are still being written."""
import importlib

class _Lazy:
    def __init__(self, *names):
        self.__dict__["names"] = names
    def __getattr__(self, name):
        for m in self.names:
            try:
                mod = importlib.import_module("addax.numpy." + m)
            except ModuleNotFoundError:
                continue
            if hasattr(mod, name):
                return getattr(mod, name)
        def missing(*a, **k):
            raise NotImplementedError(f"addax.numpy.{name} is not there yet")
        missing.__name__ = name
        return missing

_all = ("creation", "shapes", "joining", "indexing", "taking", "sorting", "sets", "products")
creation = products = shapes = sorting = _Lazy(*_all)


def _matmul(a, b):
    from addax.lax.dot import dot_general
    from addax.numpy.base import promote_dtypes
    a, b = promote_dtypes(a, b)
    batch = tuple(range(min(a.ndim, b.ndim) - 2)) if a.ndim > 2 and b.ndim > 2 else ()
    return dot_general(a, b, (((a.ndim - 1,), (max(b.ndim - 2, 0),)), (batch, batch)))

_previous = _Lazy.__getattr__
def _getattr(self, name):
    f = _previous(self, name)
    return _matmul if name == "matmul" and f.__module__ == __name__ else f
_Lazy.__getattr__ = _getattr
