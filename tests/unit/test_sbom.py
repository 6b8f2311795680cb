"""The list of what a release consists of: complete, and about Penstock."""

import pytest

from release import sbom

SHA256 = "9243213661e29250eb41368e5daa826fc017156c3b8a11440826b2e3ed376472"


def document():
    mit = [{"license": {"id": "MIT"}}]
    return {
        "metadata": {"tools": {}},
        "components": [
            {"name": "Flask_Thing", "version": "1", "licenses": mit, "type": "library"},
            {
                "name": "penstock",
                "version": "1",
                "licenses": mit,
                "externalReferences": [{"url": "file:///x"}],
            },
        ],
    }


def report(name="flask-thing"):
    archive = {"archive_info": {"hashes": {"sha256": SHA256}}}
    return {"install": [{"metadata": {"name": name}, "download_info": archive}]}


def test_each_package_has_the_hash_of_its_file_however_its_name_is_spelt():
    finished = sbom.finish(document(), report())

    assert [one["name"] for one in finished["components"]] == ["Flask_Thing", "htmx.org", "uplot"]
    assert finished["components"][0]["hashes"] == [{"alg": "SHA-256", "content": SHA256}]


def test_files_of_npm_are_in_it_with_their_package():
    [htmx] = [one for one in sbom.finish(document(), report())["components"] if one["name"] == "htmx.org"]

    assert htmx["purl"] == f"pkg:npm/htmx.org@{htmx['version']}"
    assert htmx["licenses"] == [{"license": {"id": "0BSD"}}]
    assert "htmx.min.js" in {file["name"] for file in htmx["components"]}


def test_it_is_about_penstock_and_names_no_folder_of_whoever_made_it():
    finished = sbom.finish(document(), report())

    assert finished["metadata"]["component"]["name"] == "penstock"
    assert finished["metadata"]["component"]["type"] == "application"
    assert "file://" not in str(finished)


def test_a_list_with_gaps_is_none():
    # Given a package whose file nobody knows, and one that declares no licence
    unlicensed, told = document(), report("Flask_Thing")
    del unlicensed["components"][0]["licenses"]

    # Then it is named
    with pytest.raises(SystemExit, match="Flask_Thing is installed"):
        sbom.finish(document(), report(name="another"))
    with pytest.raises(SystemExit, match="Flask_Thing declares no licence"):
        sbom.finish(unlicensed, told)

    # But a licence that pip alone has read is one
    told["install"][0]["metadata"]["license"] = "3-Clause BSD License"
    [licence] = sbom.finish(unlicensed, told)["components"][0]["licenses"]
    assert licence["license"]["name"] == "3-Clause BSD License"
