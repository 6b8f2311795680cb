"""Ten million rows of one value, which takes a few bytes for all of them."""

import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq

text = pa.DictionaryArray.from_arrays(pa.nulls(10_000_000, pa.int8()).fill_null(0), ["good"])
out = io.BytesIO()
pq.write_table(pa.table({"review": text}), out)
sys.stdout.buffer.write(out.getvalue())
