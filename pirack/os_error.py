"""What the system refused, in words for a person."""


def words(error: OSError) -> str:
    """Say it, with the way out where there is one.

    Raises:
        BrokenPipeError: That is what it was: the reader of our output has seen enough.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    where = f"{error.filename}: " if error.filename else ""
    way_out = "; be root: use sudo" if isinstance(error, PermissionError) else ""
    return f"{where}{error.strerror}{way_out}"
