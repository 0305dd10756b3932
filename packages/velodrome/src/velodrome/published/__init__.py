"""The figures published in 2017 about Keras, MXNet, TensorFlow and Neon, as data.

Five documents, the seeds `000` to `004`, hold 310 rows; `load()` gives them all, in one schema
and with every value as it was printed. What is known to be wrong with a row is in its `flags`,
a corrected value in `corrected_value`, never in the value's own place. What the documents said
of their figures is recomputed by `velodrome.published.claims`.
"""

from velodrome.published.rows import PublishedRow, load, select

__all__ = ["PublishedRow", "load", "select"]
