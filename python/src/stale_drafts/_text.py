"""Texts as the Worker has them."""

MAX_TEXT = 20_000
MAX_CODE = 200


def cut(text: object, limit: int) -> str:
    """The text as the Worker stores what is said of a failure: of its characters, which are code points, the first so many.

    It counts no U+0000, and reads half a surrogate pair as U+FFFD. Cutting here keeps a log of megabytes, which would be
    refused for its length, from costing the report.
    """
    whole = str(text).replace("\0", "")
    return whole[: 2 * limit].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")[:limit]
