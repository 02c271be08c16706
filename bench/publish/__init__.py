"""Publish runs to a place (a folder, `s3://...`), derive its board and site, and verify what others published.

A PLACE holds, append-only:

    runs/RUN/       rows.parquet, run.json, predictions.parquet, predictions/*.npz, members.parquet, manifest.json,
                    trials.parquet, choices.parquet, valid/*.npz: its searches
    commits/RUN.json        written last: a run without it does not exist for any reader
    retractions/RUN.json    why a run no longer counts; the run itself stays
    verifications/ID.json   what a verification found, by its digest: the word of whoever wrote it
    signatures/             of commits and of verifications: *.sig by an SSH key, *.sigstore.json by Sigstore

and, derived from these alone: `board.parquet`, `board.json`, `index.html`, `assets/`, `site/`. RUN is the digest of the
manifest, which holds the digest of every other file: the same run is published once, however often it is sent.
"""
