"""Finishes the list of what a release consists of, a CycloneDX document (`make sbom`).

`cyclonedx-py` reads an environment: it knows no file that was installed, and not every wording of a licence;
pip does, and says so in its report. Run by the Python of `build/tools`, which can validate the document.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from release import manifest

PRODUCT = "penstock"
VENDOR = Path(__file__).parents[1] / "app" / "dashboard" / "assets" / "vendor"

Json = dict[str, Any]


def finish(document: Json, report: Json) -> Json:
    """The document about Penstock, each package with the SHA-256 of the file that was installed.

    Raises `SystemExit` for a package that no file or no licence is known of: a list with gaps misleads.
    """
    installed = {_plain(one["metadata"]["name"]): one for one in report["install"]}
    product, packages = _without_product(document["components"])
    for package in packages:
        name = package["name"]
        if _plain(name) not in installed:
            sys.exit(f"{name} is installed, but pip's report does not name its file: run `make sbom` again.")
        known = installed[_plain(name)]
        if not package.get("licenses"):
            package["licenses"] = [_declared(known["metadata"])]
        package["hashes"] = [{"alg": "SHA-256", "content": _sha256(known)}]
    return {
        **document,
        "metadata": {**document["metadata"], "component": product},
        "components": packages + [_of_npm(package) for package in manifest.read(VENDOR)],
    }


def _declared(metadata: Json) -> Json:
    """The licence in the package's own words."""
    if not metadata.get("license"):
        name = metadata["name"]
        sys.exit(f"{name} declares no licence: find out what it may be used for before it is released.")
    return {"license": {"acknowledgement": "declared", "name": metadata["license"]}}


def _without_product(components: list[Json]) -> tuple[Json, list[Json]]:
    """What the document is about, and what that needs."""
    product = next(one for one in components if one["name"] == PRODUCT)
    about = {name: value for name, value in product.items() if name != "externalReferences"}  # a path here
    return {**about, "type": "application"}, [one for one in components if one is not product]


def _of_npm(package: manifest.Package) -> Json:
    """A package of which some files are among ours."""
    name, version = package["name"], package["version"]
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:npm/{name}@{version}",
        "licenses": [{"license": {"id": package["licence"]}}],
        "components": [
            {"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": about["sha256"]}]}
            for file, about in package["files"].items()
        ],
    }


def _plain(name: str) -> str:
    """A package's name as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(installed: Json) -> str:
    found: str = installed["download_info"]["archive_info"]["hashes"]["sha256"]
    return found


def _validate(text: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        sys.exit(f"the document breaks the CycloneDX 1.6 schema: {fault}")


def main(report: Path, sbom: Path) -> None:
    document = finish(json.loads(sbom.read_text()), json.loads(report.read_text()))
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    _validate(text)
    sbom.write_text(text)
    print(f"{sbom}: {len(document['components'])} packages, each with its licence and hashes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
