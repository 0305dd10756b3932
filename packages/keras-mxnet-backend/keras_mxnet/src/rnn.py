"""Recurrent layers' loops."""

from typing import Any


def cudnn_ok(*args: Any, **kwargs: Any) -> bool:
    return False


def lstm(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def gru(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def bidirectional_lstm(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def bidirectional_gru(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def rnn(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError
