def __getattr__(name: str):
    # The public names of this module (`addax.ops.segment_sum`) are made of NumPy-style functions, floors above.
    if not name.startswith("segment_"):
        raise AttributeError(f"module 'addax.ops' has no attribute {name!r}")
    from addax import segments

    return getattr(segments, name)
