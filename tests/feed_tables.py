"""Tables of `[feed]` written flat: what belongs to the venue goes into its options."""

OF_A_VENUE = ("venue", "url", "channel")


def feed_table(**keys):
    """Give a table `[feed]` of keys, those of a venue among its options."""
    own = {key: keys.pop(key) for key in OF_A_VENUE if key in keys}
    options = {**own, **keys.pop("options", {})}
    return {**keys, **({"options": options} if options else {})}


NUMBERS = """
[feed]
connector = "json"
columns = {{ value = "v" }}
symbol = "s"
time = "t"
options = {{ url = "{url}", subscribe = ['{{{{"ask":{{topics}}}}}}'] }}
"""
"""A feed of frames `{"s": stream, "t": time, "v": value}`, as text to be formatted."""
