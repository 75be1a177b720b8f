"""A text's tokens one by one, for people who want to see them."""

from __future__ import annotations

from embedx.server.schemas import TokenInfo
from embedx.server.views import View


def pieces_of(view: View, text: str, special: bool) -> list[TokenInfo]:
    """Every token of the text, its prompt in front, in order; those that are cut off not kept.

    With ``special`` the tokens that the model sees around a text are among them.
    """
    tokenizer = view.model.tokenizer
    # Special tokens stay when a text is cut off, so only the others have to fit.
    room = view.max_length - tokenizer.specials
    pieces = []
    for piece in tokenizer.pieces(view.prefix + text, special=special):
        added = piece.special and piece.start == piece.stop
        room -= not added
        pieces.append(
            TokenInfo(
                id=piece.id,
                text=piece.token,
                special=piece.special,
                start=None if added else piece.start,
                stop=None if added else piece.stop,
                kept=added or room >= 0,
            )
        )
    return pieces
