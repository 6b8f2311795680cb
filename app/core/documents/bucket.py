"""`python -m app.core.documents.bucket`: makes the bucket that OBJECT_STORE_URL names, if it is not there.

For a store of one's own, as docker-compose.yml starts it. A hosted one has a bucket before it has keys.
"""

from app.core.documents.open_store import store
from app.errors import Unavailable

if __name__ == "__main__":
    try:
        store().prepare()
    except Unavailable as error:
        raise SystemExit(error.message) from None
