"""A text's tokens one by one, for people who want to see them."""

from __future__ import annotations

from embedx.server.schemas import TokenInfo
from embedx.server.views import View


def pieces_of(view: View, text: str, special: bool) -> list[TokenInfo]:
    """Every token of the text, its prompt in front, in order; those that are cut off not kept.

    With ``special`` the tokens that the model sees around a text are among them.
    """
    tokenizer = view.model.tokenizer
    pieces = tokenizer.pieces(view.text(text), special=special)
    # Special tokens stay when a text is cut off, so only the others have to fit.
    added = [piece.special and piece.start == piece.stop for piece in pieces]
    own = [i for i, extra in enumerate(added) if not extra]
    room = view.max_length - tokenizer.specials
    cut = set(own[: max(len(own) - room, 0)] if tokenizer.truncation_side == "left" else own[room:])
    return [
        TokenInfo(
            id=piece.id,
            text=piece.token,
            special=piece.special,
            start=None if extra else piece.start,
            stop=None if extra else piece.stop,
            kept=i not in cut,
        )
        for i, (piece, extra) in enumerate(zip(pieces, added, strict=True))
    ]
