#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads every snapshot of a frozen store from docs/format.md alone, without a line of the engine,
and compares what it holds with the manifest. It knows no log: a store with a tail must give its
snapshots all the same, since none of them has writes there.

usage: read_image.py SOURCE_DIRECTORY IMAGE
       read_image.py SOURCE_DIRECTORY --tags STORE    prints, as JSON, the tags of the unencrypted
                                                      volumes and snapshots of a store"""
import hashlib
import json
import os
import struct
import sys

sys.dont_write_bytecode = True
SOURCE = sys.argv[1]
sys.path.insert(0, os.path.join(SOURCE, "tests", "vectors", "format"))
from make_vectors import (ek_aad, expand, gcm, page_aad, record_aad, sum128,  # noqa: E402
                          sum64)

EXTENT = (1 << 39) - 1
VOLUME, SNAPSHOT, HIDDEN, COPYING = range(4)


def unseal(key, nonce, aad, cipher, tag):
    """GCM is its own inverse but for the tag, which the plaintext gives."""
    plain = gcm(key, nonce, aad, cipher)[0]
    if gcm(key, nonce, aad, plain) != (cipher, tag):
        raise ValueError("a tag is wrong")
    return plain


def uuid_text(uuid):
    h = uuid.hex()
    return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])).encode()


class Store:
    def __init__(self, device, manifest):
        self.device, self.manifest = device, manifest
        self.keys = {f"arn:coffer:kms:test:000000000000:key/{n}": bytes.fromhex(key)
                     for n, key in enumerate(self.manifest["keys"])}
        self.root = self.newest_root()
        self.segment_bytes = struct.unpack_from("<I", self.root, 80)[0]
        self.catalogue, placement = self.tree(120), self.tree(144)
        listed = self.catalogue.get(0, b"")
        self.lineages = [self.root[48:64]]
        uuids = [listed[at:at + 16] for at in range(0, len(listed), 16)]
        self.lineages += [uuid for uuid in uuids if any(uuid)]
        self.extents, self.moved_pages = {}, 0
        for key, bucket in placement.items():
            self.read_bucket(key, bucket)

    @classmethod
    def frozen(cls, prefix):
        with open(prefix + ".json", encoding="ascii") as text:
            manifest = json.load(text)
        device = bytearray(manifest["size_bytes"])
        unit = manifest.get("unit_bytes", 4096)
        with open(prefix + ".blocks", "rb") as packed:
            while head := packed.read(4):
                at = struct.unpack("<I", head)[0] * unit
                device[at:at + unit] = packed.read(unit)
        return cls(device, manifest)

    @classmethod
    def of_file(cls, path):
        with open(path, "rb") as store:
            return cls(store.read(), {"keys": []})

    def newest_root(self):
        size = 1 << 20  # of the frozen stores' segments
        slots = [bytes(self.device[at:at + 4096]) for at in (0, 8192, 32 * size, 63 * size)]
        good = [s for s in slots
                if s[:8] == b"COFFROOT" and sum64(s[:4088]) == struct.unpack_from("<Q", s, 4088)[0]]
        return max(good, key=lambda s: struct.unpack_from("<Q", s, 8)[0])

    def blocks(self, segment, first, count=1):
        at = segment * self.segment_bytes + first * 4096
        return bytes(self.device[at:at + count * 4096])

    def tree(self, offset):
        segment, block, blocks, height, total = struct.unpack_from("<IHHB7xQ", self.root, offset)
        records = {}

        def walk(segment, block, blocks, total, height, key):
            data = self.blocks(segment, block, blocks)
            assert sum64(data) == total, "a tree's checksum"
            if height == 0:
                records[key] = data
                return
            for i in range(256):
                entry = struct.unpack_from("<IHHQ", data, 16 * i)
                if entry[2] != 0:
                    walk(*entry, height - 1, key | i << 8 * (height - 1))
        if blocks != 0:
            walk(segment, block, blocks, total, height, 0)
        return records

    def read_bucket(self, key, bucket):
        magic, count, _, own = struct.unpack_from("<4sHHQ", bucket)
        assert magic == b"COFP" and own == key
        at = 16
        for _ in range(count):
            (extent, uuid, key_id, _, used, flags, pieces, refs, mode, _, length, _, size,
             lineage) = struct.unpack_from("<Q16sIIHH6BHI", bucket, at)
            pieces = [struct.unpack_from("<IHH", bucket, at + 48 + 8 * n) for n in range(pieces)]
            assert all((first >= 0x8000) == (refs == 0) for _, _, first in pieces)
            rest = at + 48 + 8 * len(pieces)
            words = struct.unpack_from(f"<{refs}I", bucket, rest)
            rest += 4 * refs
            present = set(range(used)) | ({511} if flags & 2 else set())
            if mode == 1:
                bits = int.from_bytes(bucket[rest:rest + 64], "little")
                present = {slot for slot in range(512) if bits >> slot & 1}
            elif mode == 2:
                present = set(struct.unpack_from(f"<{length}H", bucket, rest))
            refs = [(w & 511, w >> 9 & 0x3fff, w >> 23 & 127) for w in words]
            self.extents[lineage, extent] = uuid, key_id, pieces, refs, present
            at += size

    def fresh(self, pieces, refs, present, slot):
        """Segment and block of a page, and its entry: behind the lists of a batch header."""
        segment = pieces[0][0]
        first, block, distance = [ref for ref in refs if ref[0] <= slot][-1]
        header = self.blocks(segment, block - distance)
        place = block + len([s for s in present if first <= s < slot])
        runs = struct.unpack_from("<H", header, 70)[0]
        at = 96 + 56 * runs
        for run in range(96, at, 56):
            if header[run:run + 4] != bytes(4):
                at += 8 + 8 * (struct.unpack_from("<H", header, run + 38)[0] & 0x3fff)
        return segment, place, header[at + 24 * (place - (block - distance) - 1):][:24]

    def moved(self, pieces, present, slot):
        """The same in a cleaner segment: every 128th block is a header."""
        segment, place, first = [p for p in pieces if p[2] & 511 <= slot][-1]
        for _ in [s for s in present if first & 511 <= s < slot]:
            place += 1 if (place + 1) % 128 else 2
        header = self.blocks(segment, place & ~127)
        assert header[:4] == b"COFG" and header[8:24] == self.root[48:64], "a group's header"
        assert struct.unpack_from("<II", header, 24) == (segment, place & ~127)
        total = struct.unpack_from("<Q", header, 56)[0]
        assert sum64(header[:56] + bytes(8) + header[64:]) == total, "a group's checksum"
        assert place % 128 <= struct.unpack_from("<H", header, 32)[0]
        return segment, place, header[64 + 24 * (place % 128 - 1):][:24]


class Node:
    """A volume or snapshot: its record opened, its data keys at hand."""

    def __init__(self, store, key):
        self.store, entry = store, store.catalogue[key]
        magic, _, flags, self.number = struct.unpack_from("<4sHHI", entry)
        assert magic == b"COFV" and self.number == key >> 10
        ring_bytes, _, self.key_count, self.generation = struct.unpack_from("<4I", entry, 48)
        self.encrypted, self.uuid, self.kind = flags & 1, entry[16:32], entry[96]
        verbatim, name_bytes = entry[97] & 1, struct.unpack_from("<H", entry, 98)[0]
        self.tags_left = entry[97] & 2
        assert verbatim or not self.tags_left
        self.context = entry[112:128] if any(entry[112:128]) else self.uuid
        sealed_number, lineages, writers = struct.unpack_from("<3I", entry, 144)
        self.sealed = (entry[160:176], sealed_number) if verbatim else (self.uuid, self.number)
        at = 256 + ring_bytes
        sealed_record = entry[at:at + 1024]
        at += 1024
        self.lineages = struct.unpack_from(f"<{lineages}I", entry, at) or (0,)
        at += 4 * lineages + 24 * writers
        self.name = entry[at:at + name_bytes].decode()
        self.data_keys = []
        if self.encrypted:
            self.open_ring(entry[256:256 + ring_bytes])
            aad = record_aad(1, self.sealed[0], self.vk_uuid, self.generation, self.sealed[1])
            self.record = unseal(expand(self.vk, "coffer/vk/root/1"), entry[64:76], aad,
                                 sealed_record, entry[80:96])
            self.open_data_keys()
        else:
            aad = record_aad(0, self.uuid, bytes(16), 0, self.number)
            seed = sum64(self.uuid + struct.pack("<Q", self.number) + self.uuid)
            assert sum128(seed, aad + sealed_record) == entry[80:96], "a record's checksum"
            self.record = sealed_record
        self.check_record(entry, verbatim)

    def check_record(self, entry, verbatim):
        kind = struct.unpack_from("<H", self.record, 2)[0]
        assert self.record[72:88] == self.sealed[0]
        assert self.record[480:496] == entry[128:144], "own cuts"
        assert verbatim or kind == (SNAPSHOT if self.kind == COPYING else self.kind)
        own, of = (self.record[a:a + 64].rstrip(b"\0").decode() for a in (8, 496))
        self.name = self.name or (own if self.kind == VOLUME else f"{of}@{own}")

    def tags(self):
        """Of what the record names, or none."""
        digest = self.record[584:616]
        if not any(digest) or self.tags_left:
            return {}
        part = self.store.catalogue[self.number << 10 | 656]
        magic, version, _, length = struct.unpack_from("<4sHHI", part)
        assert (magic, version) == (b"COFT", 1)
        data, tag, label = part[48:48 + length], part[32:48], b"coffer/tags/1\0\0"
        if self.encrypted:
            aad = label + record_aad(1, self.sealed[0], self.vk_uuid, self.generation,
                                     self.sealed[1])[15:]
            data = unseal(expand(self.vk, "coffer/vk/root/1"), part[16:28], aad, data, tag)
        else:
            aad = label + record_aad(0, self.uuid, bytes(16), 0, self.number)[15:]
            seed = sum64(self.uuid + struct.pack("<Q", self.number) + self.uuid)
            assert sum128(seed, aad + data) == tag, "a tag list's checksum"
        assert hashlib.sha256(data).digest() == digest, "another tag list"
        found, at = [], 4
        for _ in range(struct.unpack_from("<H", data)[0]):
            key, value = struct.unpack_from("<HH", data, at)
            at += 4 + key + value
            found.append((data[at - key - value:at - value], data[at - value:at]))
        assert at == len(data) and found == sorted(dict(found).items())
        return {key.decode(): value.decode() for key, value in found}

    def open_ring(self, ring):
        self.vk_uuid, wraps = ring[:16], struct.unpack_from("<H", ring, 20)[0]
        pairs = (b"coffer:volume", uuid_text(self.context), b"coffer:volume-key",
                 uuid_text(self.vk_uuid))
        context = b"".join(struct.pack(">H", len(text)) + text for text in pairs)
        at, keys = 64, set()
        for _ in range(wraps):
            arn_bytes, blob_bytes = struct.unpack_from("<HH", ring, at)
            arn = ring[at + 8:at + 8 + arn_bytes].decode()
            blob = ring[at + 8 + arn_bytes:at + 8 + arn_bytes + blob_bytes]
            keys.add(unseal(self.store.keys[arn], blob[1:13], context, blob[13:45], blob[45:]))
            at += (8 + arn_bytes + blob_bytes + 7) & ~7
        self.vk, = keys  # each wrap holds the same
        assert expand(self.vk, "coffer/vk/commit/1") == ring[24:56]

    def open_data_keys(self):
        table = b"".join(self.store.catalogue[self.number << 10 | 1 + n // 100][
            160 * (n % 100):160 * (n % 100) + 160] for n in range(self.key_count))
        assert hashlib.sha256(table).digest() == self.record[152:184], "the digest of the keys"
        for at in range(0, len(table), 160):
            (key_id, index, nonce, generation, wrapped, commitment, lineage, first, last, _,
             flags) = struct.unpack_from("<II12sI48s32s16sQQQI", table, at)
            aad = ek_aad({"generation": generation, "key_id": key_id, "index": index,
                          "flags": flags, "lineage": lineage.hex(), "first_extent": first,
                          "last_extent": last}, self.vk_uuid)
            key = unseal(expand(self.vk, "coffer/vk/wrap/1"), nonce, aad, wrapped[:32],
                         wrapped[32:])
            assert expand(key, "coffer/ek/commit/1") == commitment
            assert lineage == self.store.lineages[self.lineages[index]]
            if not flags & 1:
                self.data_keys.append((index, key_id, first, last, key))

    def page(self, address, kind, word):
        index, extent, slot = address >> 49, address >> 10 & EXTENT, address >> 1 & 511
        lineage = self.lineages[index]
        uuid, key_id, pieces, refs, present = self.store.extents[lineage, extent]
        assert slot in present
        segment, block, entry = (self.store.fresh(pieces, refs, present, slot) if refs else
                                 self.store.moved(pieces, present, slot))
        self.store.moved_pages += 0 if refs else 1
        data, tag = self.store.blocks(segment, block), entry[:16]
        assert sum64(data) == struct.unpack_from("<Q", entry, 16)[0], "a page's checksum"
        info = self.store.lineages[lineage] + struct.pack("<Q", extent) + uuid
        aad = page_aad(bool(self.encrypted), kind, slot, word)
        if not self.encrypted:
            assert sum128(sum64(info), aad + data) == tag
            return data
        key, = [k[4] for k in self.data_keys
                if k[:2] == (index, key_id) and k[2] <= extent <= k[3]]
        return unseal(expand(key, "coffer/x1", info), struct.pack(">III", 0, slot, 0), aad, data,
                      tag)

    def contents(self):
        size, address = struct.unpack_from("<QQ", self.record, 88)
        pages = bytearray(size * 4096)

        def walk(address, level, index):
            node = struct.unpack("<512Q", self.page(address, 2, level << 52 | index))
            for child, below in enumerate(node, 512 * index):
                if below != 0 and level > 1:
                    walk(below, level - 1, child)
                elif below != 0 and not below & 1:
                    pages[child * 4096:child * 4096 + 4096] = self.page(below, 0, child)
        height = struct.unpack_from("<I", self.record, 4)[0]
        if height != 0:
            walk(address, height, 0)
        return bytes(pages)


def print_tags(path):
    store = Store.of_file(path)
    plain = [key for key in sorted(store.catalogue)
             if key != 0 and key & 1023 == 0 and not store.catalogue[key][6] & 1]
    nodes = [Node(store, key) for key in plain]
    json.dump({node.name: node.tags() for node in nodes}, sys.stdout, sort_keys=True)
    print()


def main():
    if sys.argv[2] == "--tags":
        print_tags(sys.argv[3])
        return
    store = Store.frozen(os.path.join(SOURCE, "tests", "images", sys.argv[2]))
    nodes = [Node(store, key) for key in sorted(store.catalogue) if key != 0 and key & 1023 == 0]
    found = {n.name: hashlib.sha256(n.contents()).hexdigest() for n in nodes if n.kind == SNAPSHOT}
    listed = {entry["name"]: entry["sha256"] for entry in store.manifest["snapshots"]}
    for name in sorted(found.keys() | listed.keys()):
        if found.get(name) != listed.get(name):
            sys.exit(f"{name}: {found.get(name)} and not {listed.get(name)}")
    tags = {n.name: n.tags() for n in nodes if n.kind == SNAPSHOT and n.tags()}
    expected = {e["name"]: e["tags"] for e in store.manifest["snapshots"] if "tags" in e}
    if tags != expected:
        sys.exit(f"tags {tags} and not {expected}")
    kinds = [[n.kind for n in nodes].count(k) for k in (VOLUME, HIDDEN, COPYING)]
    expected = [len(store.manifest["volumes"]), store.manifest["hidden"],
                len(store.manifest["copying"])]
    if kinds != expected or not listed:
        sys.exit(f"{kinds} volumes, hidden nodes, unfinished copies and not {expected}")
    print(f"read_image: {len(found)} snapshots read from the format alone, "
          f"{store.moved_pages} pages from where they were moved")


if __name__ == "__main__":
    main()
