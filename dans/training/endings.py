"""How training ends before its end: in a sentence that says what is left to continue from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dans.errors import DivergedError, InputError
from dans.memory import NoRoomError, is_out_of_memory

#: What helps where a step does not fit into memory.
LESS = "a smaller train.batch, or fewer negatives (k of the sampler), may help"


@contextmanager
def saying_what_is_left(step: Callable[[], int], kept: Callable[[], str]) -> Iterator[None]:
    """End whatever ends training in the block with what is left.

    Args:
        step: the number of the one at work.
        kept: what is left, in words.

    Raises:
        DivergedError: some number is none any more, or far too large.
        InputError: a file cannot be written; or, ``NoRoomError``, memory does not suffice.
        KeyboardInterrupt: so it was told.
    """
    try:
        yield
    except FloatingPointError as error:
        raise DivergedError(f"{error}; {kept()}; a lower learning rate may help") from error
    except KeyboardInterrupt:
        sentence = f"in step {step()}; {kept()}; --resume continues from there"
        raise KeyboardInterrupt(sentence) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = error.strerror or error
        raise InputError(f"{error.filename or 'a file'}: {what}; {kept()}") from error
    except NoRoomError as error:
        raise NoRoomError(f"step {step()}: {error}; {kept()}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoomError(f"step {step()}: out of memory; {kept()}; {LESS}") from error
