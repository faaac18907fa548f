#!/usr/bin/env python3
"""Writes an OCI image layout from trees and tars: one gzip layer each, the same bytes every time.

layout.py OUT --config CONFIG.json --tag TAG... --layer PATH[::CREATED_BY]...

PATH is a folder (its files become root's unless --own says otherwise) or an uncompressed tar, taken as it is.
CONFIG.json is the runtime part of the image config; its ENV, ENTRYPOINT and CMD make history entries.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import tarfile

EPOCH = 1704067200  # 2024-01-01T00:00:00Z
CREATED = "2024-01-01T00:00:00Z"


def tar_of_tree(root, owners):
    """The tar of a folder: sorted names, whole-second times, owners by table."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, dirs, files in os.walk(root):
            dirs.sort()
            links = [d for d in dirs if os.path.islink(os.path.join(folder, d))]
            if folder != root:
                add(tar, root, folder, owners)
            for name in sorted(files + links):
                add(tar, root, os.path.join(folder, name), owners)
    return out.getvalue()


def add(tar, root, path, owners):
    name = os.path.relpath(path, root)
    meta = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mtime = EPOCH
    info.mode = stat.S_IMODE(meta.st_mode)
    info.uid, info.gid = owner_of(name, owners)
    if stat.S_ISDIR(meta.st_mode):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif stat.S_ISLNK(meta.st_mode):
        info.type = tarfile.SYMTYPE
        info.mode = 0o777
        info.linkname = os.readlink(path)
        tar.addfile(info)
    else:
        info.size = meta.st_size
        with open(path, "rb") as content:
            tar.addfile(info, content)


def owner_of(name, owners):
    for prefix, ids in owners:
        if name == prefix or name.startswith(prefix + "/"):
            return ids
    return 0, 0


def put(out, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(out, "blobs", "sha256", digest), "wb") as blob:
        blob.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def history_of(config, created_by):
    entries = [{"created": CREATED, "created_by": text} for text in created_by]
    notes = ["ENV " + pair for pair in config.get("Env", [])]
    notes += [key.upper() + " " + json.dumps(config[key]) for key in ("Entrypoint", "Cmd") if config.get(key)]
    return entries + [{"created": CREATED, "created_by": note, "empty_layer": True} for note in notes]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--config", required=True)
    parser.add_argument("--tag", action="append", required=True)
    parser.add_argument("--layer", action="append", required=True)
    parser.add_argument("--own", action="append", default=[], help="PREFIX=UID:GID")
    args = parser.parse_args()
    owners = []
    for text in args.own:
        prefix, ids = text.split("=")
        owners.append((prefix, tuple(int(part) for part in ids.split(":"))))
    os.makedirs(os.path.join(args.out, "blobs", "sha256"), exist_ok=True)
    with open(args.config, encoding="utf-8") as text:
        config = json.load(text)
    layers, diff_ids, created_by = [], [], []
    for spec in args.layer:
        path, _, note = spec.partition("::")
        if os.path.isdir(path):
            data = tar_of_tree(path, owners)
        else:
            with open(path, "rb") as tar:
                data = tar.read()
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        blob = put(args.out, gzip.compress(data, 6, mtime=0))
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob})
        created_by.append(note or "ADD rootfs / # base")
    image = {
        "created": CREATED,
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history_of(config, created_by),
    }
    platform = {"architecture": image["architecture"], "os": "linux"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **put(args.out, dump(image))},
        "layers": layers,
    }
    blob = put(args.out, dump(manifest))
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": manifest["mediaType"],
                **blob,
                "annotations": {"org.opencontainers.image.ref.name": tag},
                "platform": platform,
            }
            for tag in args.tag
        ],
    }
    with open(os.path.join(args.out, "oci-layout"), "w", encoding="utf-8") as mark:
        mark.write('{"imageLayoutVersion":"1.0.0"}')
    with open(os.path.join(args.out, "index.json"), "wb") as file:
        file.write(dump(index))
    return 0


if __name__ == "__main__":
    sys.exit(main())
