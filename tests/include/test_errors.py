from __future__ import annotations

import pytest

from include import errors


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (errors.TransientError, errors.RunbookError),
        (errors.ConfigurationError, errors.PermanentError),
        (errors.RefusedError, errors.PermanentError),
        (errors.VerificationError, errors.PermanentError),
        (errors.OutcomeUnknownError, errors.PermanentError),
        (errors.VerdictError, errors.PermanentError),
    ],
)
def test_the_tree_decides_what_is_tried_again(error: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(error, parent)
    assert not (issubclass(error, errors.TransientError) and issubclass(error, errors.PermanentError))
