"""Which contract's shape an error has, by the path it happened under."""

from app.web.errors import Fault, native, shape_for


def other(fault):
    return {"detail": fault.message}


def third(fault):
    return {"fault": fault.message}


SHAPES = {"/": native, "/v1": other, "/v1/batches": third}


def test_the_longest_prefix_of_whole_segments_decides():
    assert shape_for("/", SHAPES) is native
    assert shape_for("/api/v1/jobs", SHAPES) is native
    assert shape_for("/v1", SHAPES) is other
    assert shape_for("/v1/files/x", SHAPES) is other
    assert shape_for("/v1/batches/7/cancel", SHAPES) is third
    assert shape_for("//v1//batches", SHAPES) is third


def test_a_part_of_a_segment_is_no_prefix():
    assert shape_for("/v10/jobs", SHAPES) is native
    assert shape_for("/v1/batches-of-mine", SHAPES) is other


def test_the_native_shape_has_its_four_facts():
    body = native(Fault(404, "not_found", "there is no job", "r-1", {"a": 1}))

    assert body == {
        "error": {"type": "not_found", "message": "there is no job", "details": {"a": 1}, "request_id": "r-1"}
    }
