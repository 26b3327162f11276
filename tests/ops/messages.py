"""What errors say, as a test over a table."""

import pytest


def messages_of(rows):
    """A test with a case for each row ``(call, error, words)``: the call raises the error, whose text has the words."""

    @pytest.mark.parametrize(("call", "error", "words"), rows)
    def test(call, error, words):
        with pytest.raises(error) as caught:
            call()
        for word in words:
            assert word in str(caught.value)

    return test
