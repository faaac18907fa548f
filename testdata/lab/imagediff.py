#!/usr/bin/env python3
"""Says in what two images differ: imagediff.py [--times] A B; exit 0 when they are alike, 1 when not.

An image is an OCI layout (folder or tar; `PATH::TAG` picks one of several) or a `docker save` tar. Compared are the
config, the history (created_by and empty_layer, in order) and the flattened tree: types, modes, owners, link targets,
hard links, devices, xattrs, contents. Times of creation are ignored; file times count only under --times.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile

KINDS = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo"}


class Folder:
    def __init__(self, path):
        self.path = path

    def read(self, name):
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def has(self, name):
        return os.path.exists(os.path.join(self.path, name))


class Tar:
    def __init__(self, path):
        self.tar = tarfile.open(path)
        self.names = {os.path.normpath(name): name for name in self.tar.getnames()}

    def read(self, name):
        return self.tar.extractfile(self.names[os.path.normpath(name)]).read()

    def has(self, name):
        return os.path.normpath(name) in self.names


def load(spec, platform=None):
    """(config, [uncompressed layer bytes]) of an image."""
    path, _, tag = spec.partition("::")
    source = Folder(path) if os.path.isdir(path) else Tar(path)
    if source.has("manifest.json"):
        images = json.loads(source.read("manifest.json"))
        image = next((one for one in images if tag in (one.get("RepoTags") or [])), images[0])
        config = json.loads(source.read(image["Config"]))
        layers = [plain(source.read(name)) for name in image["Layers"]]
    else:
        manifest = chosen(source, json.loads(source.read("index.json")), tag, platform)
        config = json.loads(blob(source, manifest["config"]))
        layers = [plain(blob(source, one)) for one in manifest["layers"]]
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    if diff_ids != config["rootfs"]["diff_ids"]:
        sys.exit(f"imagediff: {spec}: the layers are not what rootfs.diff_ids says")
    return config, layers


def chosen(source, index, tag, platform):
    entries = index["manifests"]
    if tag:
        named = [e for e in entries if e.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
        if not named:
            sys.exit(f"imagediff: no image is tagged {tag}")
        entries = named
    entries = [e for e in entries if e.get("platform", {}).get("os") != "unknown"]
    if platform and len(entries) > 1:
        entries = [e for e in entries if name_of(e.get("platform", {})) == platform]
    if not entries:
        sys.exit(f"imagediff: no image is for {platform}")
    document = json.loads(blob(source, entries[0]))
    return chosen(source, document, "", platform) if "manifests" in document else document


def name_of(platform):
    return "/".join(platform[key] for key in ("os", "architecture", "variant") if platform.get(key))


def blob(source, descriptor):
    data = source.read("blobs/" + descriptor["digest"].replace(":", "/"))
    if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor["digest"] or len(data) != descriptor["size"]:
        sys.exit(f"imagediff: blob {descriptor['digest']} is damaged")
    return data


def plain(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def flatten(layers, times):
    """Path to description, after all whiteouts."""
    tree, inodes = {}, 0
    for layer in layers:
        seen = set()
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for entry in tar:
                name = os.path.normpath("/" + entry.name).lstrip("/")
                folder, base = os.path.split(name)
                if any(it.startswith(".wh..wh.") for it in folder.split("/")):
                    continue
                if base == ".wh..wh..opq":
                    drop(tree, folder, keep=seen, self_too=False)
                elif base.startswith(".wh."):
                    drop(tree, os.path.join(folder, base[4:]), keep=seen, self_too=True)
                elif name:
                    seen.add(name)
                    if entry.islnk():
                        target = os.path.normpath("/" + entry.linkname).lstrip("/")
                        tree[name] = tree[target]
                        continue
                    inodes += 1
                    facts = describe(tar, entry, times)
                    facts["inode"] = inodes
                    if facts["type"] != "dir":
                        drop(tree, name, keep=seen, self_too=False)
                    tree[name] = facts
    return with_links(tree)


def drop(tree, path, keep, self_too):
    for name in [n for n in tree if (self_too and n == path) or n.startswith(path + "/" if path else "")]:
        if name not in keep and (self_too or name != path):
            del tree[name]


def describe(tar, entry, times):
    facts = {"type": KINDS.get(entry.type, "file"), "mode": oct(entry.mode & 0o7777), "owner": f"{entry.uid}:{entry.gid}"}
    if times:
        facts["mtime"] = int(entry.mtime)
    if entry.issym():
        facts["mode"], facts["target"] = "0o777", entry.linkname
    elif entry.ischr() or entry.isblk():
        facts["device"] = f"{entry.devmajor}:{entry.devminor}"
    elif facts["type"] == "file":
        facts["sha256"] = hashlib.sha256(tar.extractfile(entry).read()).hexdigest()
        facts["size"] = entry.size
    for key, value in entry.pax_headers.items():
        if key.startswith("SCHILY.xattr."):
            facts["xattr " + key[13:]] = value
    return facts


def with_links(tree):
    """Replaces inode numbers by the sorted names that share one."""
    groups = {}
    for name, facts in tree.items():
        groups.setdefault(facts["inode"], []).append(name)
    out = {}
    for name, facts in tree.items():
        facts = {key: value for key, value in facts.items() if key != "inode"}
        group = groups[tree[name]["inode"]]
        if len(group) > 1:
            facts["linked"] = " ".join(sorted(group))
        out[name] = facts
    return out


def differences(left, right, where):
    """Lines for what differs between two JSON values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            yield from differences(left.get(key), right.get(key), f"{where}.{key}")
    elif left != right:
        yield f"{where}: {json.dumps(left)} | {json.dumps(right)}"


def comparable(config):
    config = {key: value for key, value in config.items() if key not in ("created", "history", "rootfs", "moby.buildkit.buildinfo.v1")}
    config["config"] = {key: value for key, value in (config.get("config") or {}).items() if value not in (None, "", [], {})}
    return config


def exposed(line):
    """BuildKit wrote `EXPOSE map[80/tcp:{}]` once and writes `EXPOSE [80/tcp]` now: the same for us."""
    ports = re.fullmatch(r"EXPOSE (?:map)?\[(.*)\]", line)
    return f"EXPOSE {sorted(set(ports[1].replace(':{}', '').split()))}" if ports else line


def history(config):
    return [(exposed(entry.get("created_by", "")), bool(entry.get("empty_layer"))) for entry in config.get("history", [])]


def compare(a, b, times, platform=None):
    (config_a, layers_a), (config_b, layers_b) = load(a, platform), load(b, platform)
    yield from differences(comparable(config_a), comparable(config_b), "config")
    lines_a, lines_b = history(config_a), history(config_b)
    for at in range(max(len(lines_a), len(lines_b))):
        one = lines_a[at] if at < len(lines_a) else None
        two = lines_b[at] if at < len(lines_b) else None
        if one != two:
            yield f"history {at}: {one} | {two}"
    if len(layers_a) != len(layers_b):
        yield f"layers: {len(layers_a)} | {len(layers_b)}"
    tree_a, tree_b = flatten(layers_a, times), flatten(layers_b, times)
    for name in sorted(set(tree_a) | set(tree_b)):
        if name not in tree_a or name not in tree_b:
            yield f"/{name}: only in {'B' if name not in tree_a else 'A'}: {tree_a.get(name) or tree_b.get(name)}"
        else:
            yield from differences(tree_a[name], tree_b[name], "/" + name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--ignore", action="append", default=[], metavar="PREFIX", help="leave out lines that begin so")
    parser.add_argument("--platform", help="the image of an index to take")
    parser.add_argument("a")
    parser.add_argument("b")
    args = parser.parse_args()
    count = 0
    for line in compare(args.a, args.b, args.times, args.platform):
        if not any(line.startswith(prefix) for prefix in args.ignore):
            print(line)
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
