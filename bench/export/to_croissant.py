"""Describe the data sets of a run in Croissant, the machine-readable form of a data card.

The vocabulary is that of http://mlcommons.org/croissant/1.0. The files are named and digested, never copied.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench.data.names import as_name
from bench.export.records import Records

if TYPE_CHECKING:
    from bench.registry import Registry

CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
TABLES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}
"""Files whose columns are described too."""
BLOCK = 1 << 20
ADDRESS = re.compile(r"https?://[^\s;,()]+")


def to_croissant(records: Records, folder: Path) -> str:
    """Write NAME.json for each data set of the run; say how many, and of which the files are not known."""
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Mapping[str, Any]] = {}
    for about in records.document["datasets"]:  # of several boards of one data set the first
        found.setdefault(about["name"], about)
    paths = _paths(records, list(found))
    registry = _registry(records)
    for name, about in found.items():
        files = _files(paths.get(name))
        document = _card(about, registry.dataset(about["adapter"]).card, files)
        (folder / f"{as_name(name)}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
    without = [name for name in found if not _files(paths.get(name))]
    words = f"; without files, which are simulated or gone: {', '.join(without)}" if without else ""
    return f"{len(found):,} Croissant descriptions in {folder}{words}"


def _registry(records: Records) -> Registry:
    from bench.registry import discover

    config = records.document["config"]
    return discover(config["plugins"], config["plugins_dirs"])


def _paths(records: Records, names: Sequence[str]) -> dict[str, Path]:
    """Find where the data sets of a run were read from; none where the run's words do not say it for each of them."""
    from bench.sources.registered import registered

    config, named = records.document["config"], registered()
    words = [f"events={config['data']}"] if config["data"] else list(config["datasets"] or ())
    if len(words) != len(names):
        return {}
    home, found = Path(records.document["cwd"]), {}
    for name, word in zip(names, words, strict=True):
        path = word.partition("=")[2] or config["source"] or (named[word].path if word in named else "")
        if path:
            found[name] = home / Path(path).expanduser()
    return found


def _files(path: Path | None) -> list[Path]:
    if path is None or not path.exists():
        return []
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def _card(about: Mapping[str, Any], card: Any, files: Sequence[Path]) -> dict[str, Any]:
    limits = [*card.traps, *about["notes"]]
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about["name"],
        "description": f"{card.title} ({card.source}); read by the adapter {about['adapter']}",
        "license": card.licence,
        "url": next(iter(ADDRESS.findall(card.source)), ""),
        "citeAs": card.citation,
        "version": "1.0.0",
        "identifier": about["fingerprint"],
        "rai:dataLimitations": limits,
        "distribution": [_file_object(file) for file in files],
        "recordSet": [_record_set(file) for file in files if file.suffix in TABLES],
    }
    return {key: value for key, value in described.items() if value not in ("", [])}


def _file_object(file: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,  # beside the description: a path of this machine says nothing elsewhere
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": TABLES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        "sha256": digest.hexdigest(),
    }


def _record_set(file: Path) -> dict[str, Any]:
    """Describe a table's columns, with the types of its first rows."""
    table = pl.scan_csv(file, infer_schema_length=1000) if file.suffix == ".csv" else pl.scan_parquet(file)
    name = f"rows-of-{file.name}"
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "dataType": _kind(kind),
            "source": {"fileObject": {"@id": file.name}, "extract": {"column": column}},
        }
        for column, kind in table.collect_schema().items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _kind(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "sc:Integer"
    if kind.is_float():
        return "sc:Float"
    if kind == pl.Boolean:
        return "sc:Boolean"
    return "sc:Date" if kind.is_temporal() else "sc:Text"
