"""A text of three megabytes that each of a thousand rows refers to."""

import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq

text = pa.DictionaryArray.from_arrays(pa.nulls(1_000, pa.int8()).fill_null(0), ["x" * 3_000_000])
out = io.BytesIO()
pq.write_table(pa.table({"review": text}), out, compression="zstd", dictionary_pagesize_limit=100_000_000)
sys.stdout.buffer.write(out.getvalue())
