#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vectors of format 1.0, made without a line of the engine: struct for the bytes, hashlib and hmac
for SHA-256 and HKDF-Expand, libcrypto and libxxhash (by ctypes) for AES-256-GCM and XXH3.

usage: make_vectors.py [DIRECTORY]    writes its *.json there (default: beside this file)"""
import ctypes
import ctypes.util
import hashlib
import hmac
import json
import os
import struct
import sys

crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
xx = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
xx.XXH3_64bits.restype = ctypes.c_uint64
xx.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


xx.XXH3_128bits_withSeed.restype = Hash128
xx.XXH3_128bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
    getattr(crypto, name).restype = ctypes.c_void_p


def sum64(data):
    return xx.XXH3_64bits(bytes(data), len(data))


def sum128(seed, data):
    value = xx.XXH3_128bits_withSeed(bytes(data), len(data), seed)
    return struct.pack(">QQ", value.high, value.low)


def gcm(key, nonce, aad, plain):
    """Ciphertext and tag of AES-256-GCM (SP 800-38D)."""
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    out, count = ctypes.create_string_buffer(len(plain) + 16), ctypes.c_int()
    tag = ctypes.create_string_buffer(16)
    ok = crypto.EVP_EncryptInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None,
                                   key, nonce)
    ok &= crypto.EVP_EncryptUpdate(context, None, ctypes.byref(count), aad, len(aad))
    ok &= crypto.EVP_EncryptUpdate(context, out, ctypes.byref(count), plain, len(plain))
    ok &= crypto.EVP_EncryptFinal_ex(context, None, ctypes.byref(count))
    ok &= crypto.EVP_CIPHER_CTX_ctrl(context, 0x10, 16, tag)
    assert ok == 1
    return out.raw[:len(plain)], tag.raw


def expand(key, label, info=b""):
    """HKDF-Expand of RFC 5869 with SHA-256 and L = 32."""
    return hmac.new(key, label.encode() + info + b"\x01", hashlib.sha256).digest()


def octets(first, count):
    return bytes((first + i) & 0xff for i in range(count))


def pattern(count, seed):
    return bytes((i * 7 + (i >> 8) * 13 + seed) & 0xff for i in range(count))


def result(data, leading=None):
    """All the bytes where they are few, else their beginning, their hash and their length."""
    data = bytes(data)
    if leading is None:
        return {"bytes": data.hex()}
    return {"length": len(data), "leading": data[:leading].hex(), "trailing": data[-8:].hex(),
            "sha256": hashlib.sha256(data).hexdigest()}


STORE, SESSION, UUID = octets(0x10, 16), octets(0x40, 16), octets(0x80, 16)


# ---- root slot ----

def tree_pointer(p):
    return struct.pack("<IHHB7xQ", p["segment"], p["block"], p["blocks"], p["height"],
                       int(p["sum"], 16))


def root_slot(i):
    body = struct.pack("<8sQHHI3Q16s16s4I3Q", b"COFFROOT", i["epoch"], i["major"], i["minor"],
                       1 if i["clean"] else 0, i["compat"], i["ro_compat"], i.get("incompat", 0),
                       STORE, SESSION,
                       i["segment_bytes"], i["segment_count"], i["conditioned"], 0,
                       i["next_extent"], i["created_ns"], i["next_sequence"])
    body += tree_pointer(i["catalogue"]) + tree_pointer(i["placement"]) + tree_pointer(i["segments"])
    body += bytes(32) + struct.pack("<I", i.get("next_number", 0)) + bytes(28)
    for number in range(16):
        head = i["lanes"].get(str(number))
        body += bytes(32) if head is None else struct.pack(
            "<4I2Q", head["segment"], head["next_segment"], head["block"], 1, head["batch_no"],
            head["durable_upto"])
    body += bytes(3320)
    return body + struct.pack("<Q", sum64(body))


def pointer(segment, block, blocks, height, total):
    return {"segment": segment, "block": block, "blocks": blocks, "height": height,
            "sum": f"{total:016x}"}


def roots():
    empty = pointer(0, 0, 0, 0, 0)
    fresh = {"epoch": 1, "major": 1, "minor": 0, "clean": True, "compat": 0, "ro_compat": 0,
             "store_uuid": STORE.hex(), "session": SESSION.hex(), "segment_bytes": 1 << 20,
             "segment_count": 64, "conditioned": 1, "next_extent": 1,
             "created_ns": 1700000000000000000, "next_sequence": 1, "catalogue": empty,
             "placement": empty, "segments": empty, "lanes": {}}
    used = dict(fresh, epoch=0x123456789a, clean=False, compat=5, ro_compat=0, conditioned=40,
                next_extent=(1 << 39) - 1, next_sequence=77,
                catalogue=pointer(3, 7, 1, 2, 0x0123456789abcdef),
                placement=pointer(4, 9, 2, 0, 0xfedcba9876543210),
                segments=pointer(5, 255, 1, 1, 0xffffffffffffffff),
                lanes={"0": {"segment": 9, "next_segment": 10, "block": 200, "batch_no": 1 << 40,
                             "durable_upto": (1 << 40) - 3},
                       "15": {"segment": 11, "next_segment": 0, "block": 0, "batch_no": 2,
                              "durable_upto": 1}})
    return [dict(name=name, inputs=i, **result(root_slot(i), 768))
            for name, i in (("fresh", fresh), ("used", used))]


# ---- the log ----

def segment_header(i):
    body = struct.pack("<4sHH16s16sQQII", b"COFS", 1, i["lane"], STORE, SESSION, i["sequence"],
                       i["first_batch"], i["segment"], i["previous"]) + bytes(4024)
    return body + struct.pack("<Q", sum64(body))


def run(r):
    slots = r["slots"] | (0x8000 if r["no_pages"] else 0) | (0x4000 if r["metadata"] else 0)
    return struct.pack("<IIQ16sIHH16s", r["volume"], r["lineage"], r["extent"],
                       bytes.fromhex(r["uuid"]), r["key_id"], r["first_slot"], slots,
                       bytes.fromhex(r["tag"]))


def batch_header(i):
    parts = b"".join(run(r) for r in i["run_list"])
    parts += b"".join(bytes.fromhex(r["list"]) for r in i["run_list"])
    parts += b"".join(bytes.fromhex(e["tag"]) + struct.pack("<Q", int(e["sum"], 16))
                      for e in i["entries"])

    def head(total):
        return struct.pack("<4sHH16s16sQQQIHHII8xQ", b"COFB", 1, i["lane"], STORE, SESSION,
                           i["epoch"], i["number"], i["durable_upto"], i["next_segment"],
                           len(i["entries"]), len(i["run_list"]), i["block"], i["segment"], total)
    tail = parts + bytes(4096 - 96 - len(parts))
    return head(sum64(head(0) + tail)) + tail


def logs():
    segment = {"lane": 15, "store_uuid": STORE.hex(), "session": SESSION.hex(),
               "sequence": 0x1122334455667788, "first_batch": 99, "segment": 12, "previous": 7}
    words = [0xc4 << 10 | 300, 1 << 60 | 5, 1 << 60 | 6, 1 << 60 | (1 << 44) - 1]
    holes = [0, 2 << 60 | 512, 3 << 60 | 1024]
    runs = [
        {"volume": 1, "lineage": 1, "extent": 0x1234567, "uuid": UUID.hex(), "key_id": 3,
         "first_slot": 500, "slots": 3, "no_pages": False, "metadata": False,
         "tag": octets(0xa0, 16).hex(), "list": b"".join(struct.pack("<Q", w) for w in words).hex()},
        {"volume": 2, "lineage": 1, "extent": 9, "uuid": octets(1, 16).hex(), "key_id": 1,
         "first_slot": 7, "slots": 2, "no_pages": True, "metadata": False,
         "tag": octets(0xb0, 16).hex(), "list": b"".join(struct.pack("<Q", w) for w in holes).hex()},
        {"volume": 0, "lineage": 0, "extent": 1 << 56 | 0x1000000005, "uuid": bytes(16).hex(),
         "key_id": 0, "first_slot": 0, "slots": 1, "no_pages": False, "metadata": False,
         "tag": bytes(16).hex(), "list": ""}]
    entries = [{"tag": octets(i * 16, 16).hex(), "sum": f"{0x1111111111111111 * i:016x}"}
               for i in range(1, 5)]
    batch = {"lane": 0, "store_uuid": STORE.hex(), "session": SESSION.hex(), "epoch": 4,
             "number": 1000, "durable_upto": 997, "next_segment": 13, "block": 17, "segment": 12,
             "run_list": runs, "entries": entries}
    return ([dict(name="segment header", inputs=segment, **result(segment_header(segment), 64))],
            [dict(name="three runs, four pages", inputs=batch, **result(batch_header(batch), 512))],
            [dict(name=f"run {n}", inputs=r, **result(run(r))) for n, r in enumerate(runs)])


# ---- placement ----

def slots_of(i, key):
    return set(i[key])


def bitmap(slots, derived):
    """Mode, list length and bytes."""
    if slots == derived:
        return 0, 0, b""
    if len(slots) <= 32:
        return 2, len(slots), b"".join(struct.pack("<H", s) for s in sorted(slots))
    value = sum(1 << s for s in slots)
    return 1, 0, value.to_bytes(64, "little")


def descriptor(i):
    derived = set(range(i["slots_used"])) | ({511} if i["summary"] else set())
    present, live = set(i["present"]), set(i["live"])
    modes = bitmap(present, derived), bitmap(live, present)
    parts = b"".join(struct.pack("<IHH", p["segment"], p["block"],
                                 p["first_slot"] | (0x8000 if p["cleaner"] else 0))
                     for p in i["pieces"])
    parts += b"".join(struct.pack("<I", r["first_slot"] | r["block"] << 9 | r["distance"] << 23)
                      for r in i["refs"])
    parts += modes[0][2] + modes[1][2]
    return struct.pack("<Q16sIIHH6BHI", i["extent"], bytes.fromhex(i["uuid"]), i["key_id"],
                       i["volume"], i["slots_used"],
                       (1 if i["metadata"] else 0) | (2 if i["summary"] else 0), len(i["pieces"]),
                       len(i["refs"]), modes[0][0], modes[1][0], modes[0][1], modes[1][1],
                       48 + len(parts), i["lineage"]) + parts


def descriptors():
    base = {"extent": 0x1234567, "uuid": UUID.hex(), "key_id": 5, "volume": 2, "lineage": 1,
            "slots_used": 100, "metadata": False, "summary": False,
            "pieces": [{"segment": 9, "block": 2, "first_slot": 0, "cleaner": False}],
            "refs": [{"first_slot": 0, "block": 2, "distance": 1},
                     {"first_slot": 60, "block": 70, "distance": 5}],
            "present": list(range(100)), "live": list(range(100))}
    some = [s for s in range(100) if s % 2 == 0]
    cases = [
        ("present and live derived", base),
        ("live a list", dict(base, live=[3, 7, 99])),
        ("live an empty list", dict(base, live=[])),
        ("live a bitmap", dict(base, live=[s for s in range(100) if s % 2])),
        ("present a bitmap, live derived", dict(base, present=some, live=some)),
        ("present a list, live a list", dict(base, present=[0, 1, 60], live=[60])),
        ("metadata with a summary", dict(base, metadata=True, summary=True,
                                         present=list(range(100)) + [511],
                                         live=list(range(100)) + [511])),
        # Made before there were moved extents: as it stands, a reader refuses it.
        ("two pieces, a ref without pages",
         dict(base, slots_used=101, present=list(range(100)),
              pieces=base["pieces"] + [{"segment": 10, "block": 4, "first_slot": 60,
                                        "cleaner": True}],
              refs=base["refs"] + [{"first_slot": 100, "block": 200, "distance": 0}])),
    ]
    return [dict(name=n, inputs=i, segment_count=64, segment_blocks=256, **result(descriptor(i)))
            for n, i in cases]


def footer(i):
    body = struct.pack("<4sHH16s16sQQIIIHHQ8x", b"COFE", 1, i["lane"], STORE, SESSION,
                       i["first_batch"], i["last_batch"], i["segment"], i["next_segment"],
                       i["first_block"], len(i["descriptors"]), 1 if i["complete"] else 0,
                       i["durable_upto"])
    body += b"".join(bytes.fromhex(d) for d in i["descriptors"])
    body += bytes(8184 - len(body))
    return body + struct.pack("<Q", sum64(body))


def places(descs):
    foot = {"lane": 0, "store_uuid": STORE.hex(), "session": SESSION.hex(), "first_batch": 3,
            "last_batch": 40, "durable_upto": 38, "segment": 9, "next_segment": 10,
            "first_block": 1, "complete": True, "descriptors": [d["bytes"] for d in descs[:3]]}
    bucket = {"descriptors": 3, "blocks": 1, "key": 1 << 36 | 0x123456}
    entry = pointer(7, 300, 2, 0, 0x8877665544332211)
    record = {"sequence": 1 << 40, "live": 250, "state": 2, "lane": 15}
    return ([dict(name="complete", inputs=foot, **result(footer(foot), 512))],
            [dict(name="bucket", inputs=bucket,
                  **result(struct.pack("<4sHHQ", b"COFP", 3, 1, bucket["key"])))],
            [dict(name="entry", inputs=entry,
                  **result(struct.pack("<IHHQ", 7, 300, 2, int(entry["sum"], 16))))],
            [dict(name="record", inputs=record,
                  **result(struct.pack("<QIBBH", 1 << 40, 250, 2, 15, 0)))])


# ---- catalogue ----

def volume_entry(i):
    body = struct.pack("<4sHHIBBH16sQQIIII12sI16s", b"COFV", 1, 1 if i["encrypted"] else 0,
                       i["number"], i["name_hint"], i["ring_slots"], 0, bytes.fromhex(i["uuid"]),
                       i["tail_first"], i["tail_last"], i["ring_bytes"], 1024, i["data_keys"],
                       i["generation"], bytes.fromhex(i["nonce"]), 0, bytes.fromhex(i["tag"]))
    if "kind" not in i:
        return body + bytes(160)
    flags = ((1 if i["verbatim"] else 0) | (2 if i.get("tags_left") else 0) |
             (4 if i.get("interim") else 0) | (8 if i.get("unstoppable") else 0))
    return body + struct.pack("<BBHIII16sQQIIII16s16sQQQBBH4xQQ16x", i["kind"], flags,
                              len(i["clear_name"]), i["parent"], i["family"], 0,
                              bytes.fromhex(i["context_uuid"]), i["own_cut"], i["own_node_cut"],
                              i["sealed_number"], len(i["lineages"]), len(i["writers"]), 0,
                              bytes.fromhex(i["sealed_uuid"]), bytes.fromhex(i["origin_uuid"]),
                              i["cut"], i["node_cut"], i.get("reencrypt", 0), i.get("access", 0),
                              len(i.get("grant", "")), i.get("cause", 0), i.get("since", 0),
                              i.get("seen", 0))


def annex(i):
    """What stands behind the sealed record."""
    parts = b"".join(struct.pack("<I", number) for number in i["lineages"])
    parts += b"".join(struct.pack("<IIQQ", w["number"], w["index"], w["last_data"],
                                  w["last_metadata"]) for w in i["writers"])
    return parts + i["clear_name"].encode() + i.get("grant", "").encode()


def record_plain(i):
    return struct.pack("<HHI64s16sQQQQH6xQQII32s256sQQ16sQQQ64s16sB7x32sB7xQ392x", 1, i.get("kind", 0),
                       i["height"], i["name"].encode(), bytes.fromhex(i["uuid"]), i["size_pages"],
                       i["root_address"], i["mapped_pages"], i["chain_extent"], i["chain_slots"],
                       i["created_ns"], i["key_uses"], i["next_key_id"], i["data_keys"],
                       bytes.fromhex(i["keys_digest"]), i["key_arn"].encode(), i["cut"],
                       i["node_cut"], bytes.fromhex(i["parent"]), i["modified_ns"],
                       i.get("own_cut", 0), i.get("own_node_cut", 0),
                       i.get("volume_name", "").encode(),
                       bytes.fromhex(i.get("volume_uuid", "00" * 16)),
                       1 if i.get("key_shared") else 0, bytes.fromhex(i.get("tags_digest", "")),
                       i.get("access", 0), i.get("since", 0))


def ek_entry(i):
    return struct.pack("<II12sI48s32s16sQQQII8x", i["key_id"], i["index"],
                       bytes.fromhex(i["nonce"]), i["generation"], bytes.fromhex(i["wrapped"]),
                       bytes.fromhex(i["commitment"]), bytes.fromhex(i["lineage"]),
                       i["first_extent"], i["last_extent"], i["extents"], i["flags"],
                       i.get("turn", 0))


def ek_aad(i, vk_uuid):
    return vk_uuid + struct.pack("<IIII16sQQ", i["generation"], i["key_id"], i["index"],
                                 i["flags"], bytes.fromhex(i["lineage"]), i["first_extent"],
                                 i["last_extent"])


def page_aad(encrypted, kind, slot, word):
    return struct.pack("<BBBBIIIQ8x", 1 if encrypted else 0x81, kind, 0, 0, 4096, 4096, slot, word)


def list_aad(encrypted, first_slot, slots, no_pages, batch):
    return struct.pack("<BBHHH16sQ", 1 if encrypted else 0x81, 1, slots, first_slot,
                       1 if no_pages else 0, SESSION, batch)


def record_aad(encrypted, volume, vk, generation, number):
    return b"coffer/record/1" + bytes([encrypted]) + volume + vk + struct.pack("<II", generation,
                                                                               number)


VK_UUID, LINEAGE = octets(0xc0, 16), STORE
EK = {"key_id": 6, "index": 0, "generation": 1, "flags": 0, "nonce": octets(5, 12).hex(),
      "wrapped": octets(0x20, 48).hex(), "commitment": octets(0x70, 32).hex(),
      "lineage": LINEAGE.hex(), "first_extent": 100, "last_extent": (1 << 39) - 1, "extents": 12}
RECORD = {"height": 2, "name": "disk-0", "uuid": UUID.hex(), "size_pages": 1 << 28,
          "root_address": 0x1234567 << 10 | 33 << 1, "mapped_pages": 70000,
          "chain_extent": 0x1234566, "chain_slots": 511, "created_ns": 1700000000000000000,
          "key_uses": 65537, "next_key_id": 9, "data_keys": 4, "keys_digest": octets(9, 32).hex(),
          "key_arn": "arn:coffer:kms:test:000000000000:key/0", "cut": 3, "node_cut": 4,
          "parent": octets(0xe0, 16).hex(), "modified_ns": 1700000001000000000}


def catalogue():
    entry = {"encrypted": True, "number": 3, "name_hint": 0x5a, "ring_slots": 1, "uuid": UUID.hex(),
             "tail_first": 10, "tail_last": 20, "ring_bytes": 512, "data_keys": 4, "generation": 1,
             "nonce": octets(1, 12).hex(), "tag": octets(0x33, 16).hex()}
    plain = dict(entry, encrypted=False, ring_slots=0, ring_bytes=0, data_keys=0, generation=0)
    return ([dict(name=n, inputs=i, **result(volume_entry(i)))
             for n, i in (("encrypted", entry), ("plain", plain))],
            [dict(name="record", inputs=RECORD, **result(record_plain(RECORD)))],
            [dict(name="data key", inputs=EK, vk_uuid=VK_UUID.hex(), aad=ek_aad(EK, VK_UUID).hex(),
                  **result(ek_entry(EK)))])


def aads():
    pages = [{"encrypted": e, "kind": k, "slot": s, "word": w} for e, k, s, w in (
        (True, 0, 0, 0), (True, 0, 510, (1 << 44) - 1), (True, 2, 7, 3 << 52 | 5),
        (False, 0, 9, 77), (True, 3, 511, 0))]
    lists = [{"encrypted": e, "first_slot": f, "slots": s, "no_pages": n, "batch_no": b,
              "session": SESSION.hex()} for e, f, s, n, b in (
        (True, 0, 120, False, 1), (False, 500, 2, True, 1 << 40))]
    records = [{"encrypted": e, "volume_uuid": UUID.hex(), "vk_uuid": VK_UUID.hex(),
                "generation": g, "number": n} for e, g, n in ((True, 1, 3), (False, 0, 4096))]
    info = {"lineage": LINEAGE.hex(), "extent": 0x1234567, "uuid": UUID.hex()}
    return {
        "page_aad": [dict(name=f"page {n}", inputs=i, **result(page_aad(*i.values())))
                     for n, i in enumerate(pages)],
        "list_aad": [dict(name=f"list {n}", inputs=i,
                          **result(list_aad(*list(i.values())[:5])))
                     for n, i in enumerate(lists)],
        "record_aad": [dict(name=f"record {n}", inputs=i,
                            **result(record_aad(i["encrypted"], UUID, VK_UUID, i["generation"],
                                                i["number"]))) for n, i in enumerate(records)],
        "subkey_info": [dict(name="info", inputs=info,
                             **result(LINEAGE + struct.pack("<Q", info["extent"]) + UUID))]}


def words():
    addresses = [(0, 1, 0, 0), (0, 0x1234567, 33, 0), (0, (1 << 39) - 1, 511, 1), (7, 5, 9, 1)]
    kinds = [(0, 0), (1, (1 << 44) - 1), (2, 512), (3, 1 << 30), (4, 2), (5, 3 << 52 | 77), (6, 0)]
    chains = [(0, 0), (0x1234566, 511), ((1 << 39) - 1, 1)]
    return {
        "address": [dict(name=f"address {n}", inputs={"index": i, "extent": e, "slot": s,
                                                      "hole": bool(h)},
                         **result(struct.pack(">Q", i << 49 | e << 10 | s << 1 | h)))
                    for n, (i, e, s, h) in enumerate(addresses)],
        "slot_word": [dict(name=f"word {t}", inputs={"type": t, "value": v},
                           **result(struct.pack(">Q", t << 60 | v))) for t, v in kinds],
        "chain_word": [dict(name=f"chain {n}", inputs={"extent": e, "slots": s},
                            **result(struct.pack(">Q", e << 10 | s)))
                       for n, (e, s) in enumerate(chains)]}


# ---- from the keys to the ciphertext ----

def sealed():
    vk, ek = octets(1, 32), octets(0x61, 32)
    info = LINEAGE + struct.pack("<Q", 0x1234567) + UUID
    subkey = expand(ek, "coffer/x1", info)
    wrap, root = expand(vk, "coffer/vk/wrap/1"), expand(vk, "coffer/vk/root/1")
    page, word, slot = pattern(4096, 3), 0x123456, 77
    cipher, tag = gcm(subkey, struct.pack(">III", 0, slot, 0), page_aad(True, 0, slot, word), page)
    plain_list = b"".join(struct.pack("<Q", w) for w in (0x1234566 << 10 | 511, 1 << 60 | word))
    list_cipher, list_tag = gcm(subkey, struct.pack(">III", 1, slot, 0),
                                list_aad(True, slot, 1, False, 55), plain_list)
    nonce = octets(0x90, 12)
    wrapped, wrap_tag = gcm(wrap, nonce, ek_aad(EK, VK_UUID), ek)
    record, record_tag = gcm(root, nonce, record_aad(True, UUID, VK_UUID, 1, 3),
                             record_plain(RECORD))
    seed = sum64(info)
    plain_tag = sum128(seed, page_aad(False, 0, slot, word) + page)
    plain_list_tag = sum128(seed, list_aad(False, slot, 1, False, 55) + plain_list)
    record_seed = sum64(UUID + struct.pack("<Q", 3) + UUID)
    plain_record_tag = sum128(record_seed, record_aad(False, UUID, bytes(16), 0, 3) +
                              record_plain(RECORD))
    return {"inputs": {"vk": vk.hex(), "ek": ek.hex(), "vk_uuid": VK_UUID.hex(),
                       "lineage": LINEAGE.hex(), "extent": 0x1234567, "extent_uuid": UUID.hex(),
                       "slot": slot, "word": word, "batch_no": 55, "session": SESSION.hex(),
                       "page": "byte i = i * 7 + (i >> 8) * 13 + 3, modulo 256",
                       "list": plain_list.hex(), "nonce": nonce.hex(), "data_key": EK,
                       "record": RECORD, "volume_uuid": UUID.hex(), "generation": 1, "number": 3},
            "vk_wrap_key": wrap.hex(), "vk_root_key": root.hex(),
            "vk_commitment": expand(vk, "coffer/vk/commit/1").hex(),
            "ek_commitment": expand(ek, "coffer/ek/commit/1").hex(), "subkey": subkey.hex(),
            "page_leading": cipher[:64].hex(), "page_sha256": hashlib.sha256(cipher).hexdigest(),
            "page_tag": tag.hex(), "page_sum": f"{sum64(cipher):016x}",
            "list_cipher": list_cipher.hex(), "list_tag": list_tag.hex(),
            "wrapped": (wrapped + wrap_tag).hex(),
            "record_sha256": hashlib.sha256(record).hexdigest(), "record_tag": record_tag.hex(),
            "plain_seed": f"{seed:016x}", "plain_page_tag": plain_tag.hex(),
            "plain_page_sum": f"{sum64(page):016x}", "plain_list_tag": plain_list_tag.hex(),
            "plain_record_tag": plain_record_tag.hex()}


# ---- families and copies ----

def position(index, extent):
    return index << 39 | extent


ZEROS = bytes(16).hex()
# A snapshot with a parent; a copy of one as it was sealed elsewhere; a hidden node; an unfinished,
# unencrypted copy; a volume that pages are sealed into anew.
SNAPSHOT = {"encrypted": True, "number": 7, "name_hint": 0x34, "ring_slots": 1, "uuid": UUID.hex(),
            "tail_first": 1, "tail_last": 0, "ring_bytes": 448, "data_keys": 4, "generation": 2,
            "nonce": octets(1, 12).hex(), "tag": octets(0x33, 16).hex(), "kind": 1,
            "verbatim": False, "clear_name": "", "parent": 5, "family": 1,
            "context_uuid": octets(0xd0, 16).hex(), "own_cut": 5, "own_node_cut": 6,
            "sealed_number": 0, "sealed_uuid": ZEROS, "origin_uuid": ZEROS, "cut": 0,
            "node_cut": 0, "lineages": [],
            "writers": [{"number": 1, "index": 0, "last_data": 5, "last_metadata": 6}]}
COPY = dict(SNAPSHOT, number=0x01020304, parent=0x11121314, family=0x21222324, verbatim=True,
            clear_name="disk-0@" + "n" * 63, context_uuid=ZEROS, own_cut=position(1, 21),
            own_node_cut=position(1, 22), sealed_number=0x31323334, sealed_uuid=octets(9, 16).hex(),
            origin_uuid=octets(0x55, 16).hex(), cut=position(1, 11), node_cut=position(1, 12),
            lineages=[3, 0, 16383],
            writers=[{"number": 0x11121314, "index": 0, "last_data": 1 << 38, "last_metadata": 6},
                     {"number": 0x01020304, "index": 1, "last_data": 21, "last_metadata": 22},
                     {"number": 0x01020304, "index": 16383, "last_data": (1 << 39) - 1,
                      "last_metadata": 0}])
HIDDEN = dict(SNAPSHOT, kind=2, number=5, parent=0, own_cut=1, own_node_cut=2)
COPYING = dict(COPY, kind=3, encrypted=False, ring_slots=0, ring_bytes=0, data_keys=0, generation=0,
               nonce=bytes(12).hex(), verbatim=False, sealed_number=0, sealed_uuid=ZEROS,
               clear_name="")

INTERIM = dict(SNAPSHOT, kind=0, number=9, parent=0, family=0, interim=True, own_cut=0,
               own_node_cut=0, tail_first=3, tail_last=4, writers=[])


def import_run(index, lineage, extent, pages):
    key = lineage << 39 | extent
    inputs = {"volume": 0, "lineage": 0, "extent": 4 << 56 | key, "uuid": ZEROS, "key_id": 0,
              "first_slot": 0, "slots": pages, "no_pages": False, "metadata": False, "tag": ZEROS,
              "list": ""}
    return dict(name=f"import {index}", kind=4, of_lineage=lineage, of_extent=extent, inputs=inputs,
                **result(run(inputs)))


def families():
    root_inputs = dict(roots()[1]["inputs"], incompat=3, next_number=0x51525354)
    entries = [("snapshot", SNAPSHOT), ("verbatim copy", COPY), ("hidden", HIDDEN),
               ("unfinished plain copy", COPYING), ("interim volume", INTERIM)]
    snapshot = dict(RECORD, kind=1, name="monday", own_cut=position(1, 21),
                    own_node_cut=position(1, 22), volume_name="disk-" + "0" * 58,
                    volume_uuid=octets(0xd0, 16).hex())
    records = [("snapshot", snapshot), ("hidden", dict(snapshot, kind=2, name="", volume_name="")),
               ("volume whose key is a snapshot's too", dict(RECORD, key_shared=True))]
    refused = [("of no known kind", dict(SNAPSHOT, kind=4)),
               ("a volume sealed elsewhere", dict(COPY, kind=0)),
               ("an unencrypted one sealed elsewhere", dict(COPY, encrypted=False)),
               ("sealed elsewhere, another's context", dict(COPY, context_uuid=UUID.hex())),
               ("a clear name of one that is sealed here", dict(COPY, verbatim=False)),
               ("a clear name that is too long", dict(COPY, clear_name="n" * 128)),
               ("too many lineages", dict(COPY, lineages=[1] * 16385)),
               ("too many writers", dict(COPY, writers=COPY["writers"][:1] * 8193)),
               ("an interim snapshot", dict(SNAPSHOT, interim=True)),
               ("number 0", dict(SNAPSHOT, number=0))]
    too_new = dict(snapshot, kind=3)
    keys = [dict(EK, flags=flags, index=index, lineage=octets(0x60 + index, 16).hex(),
                 first_extent=1, last_extent=22) for flags, index in ((1, 0), (2, 1), (2, 16383))]
    runs = [import_run(0, 1, 0x1234567, 120), import_run(1, 16383, (1 << 39) - 1, 1)]
    entries_of_pages = [{"tag": octets(0x30 + n, 16).hex(), "sum": f"{0x0101010101010101 * n:016x}"}
                        for n in (1, 2)]
    two = import_run(0, 2, 77, 2)["inputs"]
    batch = {"lane": 15, "store_uuid": STORE.hex(), "session": SESSION.hex(), "epoch": 6,
             "number": 12, "durable_upto": 11, "next_segment": 0, "block": 9, "segment": 12,
             "run_list": [two], "entries": entries_of_pages}
    lineages = [octets(0x71, 16), octets(0x11, 16), octets(0x71, 16)]
    return {
        "root": [dict(name="snapshots and copies", inputs=root_inputs,
                      **result(root_slot(root_inputs), 768))],
        "volume_entry": [dict(name=n, inputs=i, **result(volume_entry(i))) for n, i in entries],
        "refused_entry": [dict(name=n, inputs={}, **result(volume_entry(i))) for n, i in refused],
        "refused_record": [dict(name="of no known kind", inputs={},
                                **result(record_plain(too_new)))],
        "refused_root": [dict(name="an unknown incompat bit", inputs={},
                              **result(root_slot(dict(root_inputs, incompat=1 << 63 | 3))))],
        "annex": [dict(name=n, inputs=i, **result(annex(i))) for n, i in entries],
        "record": [dict(name=n, inputs=i, **result(record_plain(i))) for n, i in records],
        "data_key": [dict(name=f"key {n}", inputs=i, vk_uuid=VK_UUID.hex(),
                          aad=ek_aad(i, VK_UUID).hex(), **result(ek_entry(i)))
                     for n, i in enumerate(keys)],
        "run": runs,
        "batch_header": [dict(name="two pages of an import", inputs=batch,
                              **result(batch_header(batch), 512))],
        "lineages": [dict(name="three, one uuid twice",
                          inputs={"uuids": [uuid.hex() for uuid in lineages]},
                          **result(b"".join(lineages) + bytes(4096 - 48), 64))],
        "name_hint": [dict(name="snapshot",
                           inputs={"store_uuid": STORE.hex(), "name": "disk-0@monday"},
                           **result(hashlib.sha256(b"coffer/name" + STORE +
                                                   b"disk-0@monday").digest()[:1]))]}


# ---- tags ----

def tag_list(tags):
    """In ascending order of the keys' bytes."""
    pairs = sorted((key.encode(), value.encode()) for key, value in tags.items())
    return struct.pack("<HH", len(pairs), 0) + b"".join(
        struct.pack("<HH", len(key), len(value)) + key + value for key, value in pairs)


def tags_aad(encrypted, volume, vk, generation, number):
    return b"coffer/tags/1" + bytes(2) + record_aad(encrypted, volume, vk, generation, number)[15:]


def tag_part(encrypted, nonce, tag, data):
    body = struct.pack("<4sHHII12sI16s", b"COFT", 1, 1 if encrypted else 0, len(data), 0, nonce, 0,
                       tag) + data
    return body + bytes(-len(body) % 4096)


def tags():
    few = {"Name": "disk-0", "cost center": "", "B": "1", "b": "2",
           "\u00e4\u20ac\U0001f511": "\u00fc=\u65e5\u672c"}
    many = {f"{n:02}" + "\U0001f511" * 126: "\U0001f511" * 256 for n in range(50)}
    told = "50: key n is n in two digits and 126 times U+1F511, each value 256 times U+1F511"
    root = expand(octets(1, 32), "coffer/vk/root/1")
    nonce, found = octets(0x90, 12), []
    for name, encrypted, pairs in (("few", True, few), ("one", True, {"k": "v"}),
                                   ("plain", False, few), ("most", True, many)):
        vk_uuid, generation = (VK_UUID, 2) if encrypted else (bytes(16), 0)
        aad, data = tags_aad(encrypted, UUID, vk_uuid, generation, 3), tag_list(pairs)
        if encrypted:
            cipher, tag = gcm(root, nonce, aad, data)
        else:
            cipher, tag = data, sum128(sum64(UUID + struct.pack("<Q", 3) + UUID), aad + data)
        inputs = {"encrypted": encrypted, "volume_uuid": UUID.hex(), "vk": octets(1, 32).hex(),
                  "vk_uuid": vk_uuid.hex(), "generation": generation, "number": 3,
                  "nonce": (nonce if encrypted else bytes(12)).hex(),
                  "tags": told if pairs is many else [{"Key": key, "Value": value}
                                                      for key, value in pairs.items()]}
        found.append(dict(name=name, inputs=inputs, aad=aad.hex(), tag=tag.hex(),
                          digest=hashlib.sha256(data).hexdigest(),
                          **result(tag_part(encrypted, nonce if encrypted else bytes(12), tag,
                                            cipher), 512)))

    def raw(*pairs, count=None, left=0):
        return struct.pack("<HH", len(pairs) if count is None else count, left) + b"".join(
            struct.pack("<HH", len(key), len(value)) + key + value for key, value in pairs)
    refused = [("no tags", raw()), ("nothing", b""), ("half a head", raw()[:3]),
               ("fewer than it says", raw((b"a", b""), count=2)),
               ("more than it says", raw((b"a", b""), (b"b", b""), count=1)),
               ("a value beyond the end", raw((b"a", b"v"))[:-1]),
               ("a byte too many", raw((b"a", b"v")) + b"\0"),
               ("keys out of order", raw((b"b", b""), (b"a", b""))),
               ("a key twice", raw((b"a", b"1"), (b"a", b"2"))),
               ("a longer key before its beginning", raw((b"ab", b""), (b"a", b""))),
               ("an empty key", raw((b"", b"v"))), ("a reserved key", raw((b"AwS:x", b"v"))),
               ("a NUL", raw((b"a\0", b"v"))), ("a line's end", raw((b"a", b"v\n"))),
               ("a C1 control", raw((b"a", b"\xc2\x9b"))), ("no UTF-8", raw((b"\xff", b""))),
               ("an overlong slash", raw((b"a", b"\xc0\xaf"))),
               ("half a character", raw((b"a\xe2\x82", b""))),
               ("a surrogate", raw((b"a", b"\xed\xa0\x80"))),
               ("beyond U+10FFFF", raw((b"a", b"\xf4\x90\x80\x80"))),
               ("a key of 129 characters", raw((b"k" * 129, b""))),
               ("a value of 257 characters", raw((b"k", b"v" * 257))),
               ("51 tags", raw(*((b"%02d" % n, b"") for n in range(51))))]
    headers = [("no tag list", b"COFV" + tag_part(True, nonce, bytes(16), raw())[4:48]),
               ("format 2", b"COFT\2\0" + tag_part(True, nonce, bytes(16), raw())[6:48]),
               ("a list without its head", tag_part(True, nonce, bytes(16), bytes(3))[:48]),
               ("a list that is too long", tag_part(True, nonce, bytes(16), bytes(77005))[:48])]
    left = dict(COPY, tags_left=True)
    record = dict(RECORD, tags_digest=hashlib.sha256(tag_list(few)).hexdigest())
    root_inputs = dict(roots()[1]["inputs"], incompat=7, next_number=9)
    return {"root": [dict(name="tags", inputs=root_inputs, **result(root_slot(root_inputs), 768))],
            "volume_entry": [dict(name="tags left behind", inputs=left,
                                  **result(volume_entry(left)))],
            "refused_entry": [dict(name="tags left behind of one that is sealed here", inputs={},
                                   **result(volume_entry(dict(SNAPSHOT, tags_left=True))))],
            "record": [dict(name="with tags", inputs=record, **result(record_plain(record)))],
            "part": found,
            "refused_header": [dict(name=n, inputs={}, **result(data)) for n, data in headers],
            "refused_list": [dict(name=n, inputs={}, **result(data)) for n, data in refused]}


# ---- what the cleaner moved ----

def group_header(i, fixed=None):
    entries = b"".join(bytes.fromhex(e["tag"]) + struct.pack("<Q", int(e["sum"], 16))
                       for e in i["entries"])
    runs = b"".join(struct.pack("<Q", r["lineage"] << 39 | r["extent"]) for r in i["run_list"])
    tail = entries + bytes(127 * 24 - len(entries)) + runs + bytes(123 * 8 - len(runs))

    def head(total):
        return struct.pack("<4sHH16sIIHH20xQ", fixed or b"COFG", i.get("format", 1), i["lane"],
                           STORE, i["segment"], i["block"], i.get("pages", len(i["entries"])),
                           i.get("runs", len(i["run_list"])), total)
    return head(sum64(head(0) + tail)) + tail


def pages_of(i):
    """Slot by slot, as a reader would walk: the blocks of a piece but those of headers."""
    found = []
    for n, piece in enumerate(i["pieces"]):
        end = i["pieces"][n + 1]["first_slot"] if n + 1 < len(i["pieces"]) else 512
        block = piece["block"]
        for slot in sorted(s for s in i["present"] if piece["first_slot"] <= s < end):
            block += 1 if block % 128 == 0 else 0
            found.append({"slot": slot, "segment": piece["segment"], "block": block,
                          "header_block": block // 128 * 128})
            block += 1
    return found


def moved(places, present, **other):
    base = {"extent": 0x1234567, "uuid": UUID.hex(), "key_id": 5, "volume": 2, "lineage": 1,
            "slots_used": 511, "metadata": False, "summary": False, "refs": [],
            "pieces": [{"segment": s, "block": b, "first_slot": f, "cleaner": True}
                       for s, b, f in places],
            "present": list(present), "live": list(present)}
    return dict(base, **other)


def groups():
    entries = [{"tag": octets(n, 16).hex(), "sum": f"{0x0123456789abcdef * (n + 1) % 2**64:016x}"}
               for n in range(127)]
    run_list = [{"lineage": n % 3, "extent": (1 << 39) - 1 - n} for n in range(123)]
    full = {"lane": 3, "store_uuid": STORE.hex(), "segment": 0x01020304, "block": 0x3f80,
            "entries": entries, "run_list": run_list}
    short = dict(full, lane=1, segment=9, block=0, entries=entries[:2],
                 run_list=[{"lineage": 131071, "extent": 1}])
    bad = [("lane 0", dict(short, lane=0)), ("lane 4", dict(short, lane=4)),
           ("format 2", dict(short, format=2)), ("block 127", dict(short, block=127)),
           ("no pages", dict(short, pages=0)), ("128 pages", dict(full, pages=128)),
           ("no runs", dict(short, runs=0)), ("124 runs", dict(full, runs=124)),
           ("more runs than pages", dict(short, run_list=run_list[:3])),
           ("a run of no extent", dict(short, run_list=[{"lineage": 5, "extent": 0}]))]
    cases = [
        ("one piece", moved([(9, 1, 0)], range(100), slots_used=100)),
        ("across a group's end, with a summary",
         moved([(9, 100, 0)], list(range(0, 120, 2)) + [511], slots_used=120, summary=True,
               live=[0, 56, 58, 511])),
        ("four pieces", moved([(9, 3, 0), (10, 129, 7), (9, 120, 300), (63, 255, 510)],
                              [1, 2, 6, 7, 8] + list(range(290, 310)) + [510])),
        ("up to the last block", moved([(11, 2, 0)], range(1, 254))),
        ("a piece without a page", moved([(9, 3, 0), (10, 4, 50)], range(50), slots_used=50)),
    ]
    one = [(9, 1, 0)]
    ref = [{"first_slot": 0, "block": 2, "distance": 1}]
    wrong = [
        ("a piece in a header's block", moved([(9, 128, 0)], range(3))),
        ("a piece in the first header's block", moved([(9, 0, 0)], range(3))),
        ("a piece beyond the segment", moved([(9, 257, 0)], [])),
        ("a page beyond the segment", moved([(11, 2, 0)], range(254))),
        ("a piece beyond the store", moved([(64, 1, 0)], range(3))),
        ("segment 0", moved([(0, 1, 0)], range(3))),
        ("first slots that do not begin at 0", moved([(9, 1, 1)], range(3))),
        ("first slots that do not ascend", moved([(9, 1, 0), (10, 1, 4), (11, 1, 4)], range(9))),
        ("five pieces", moved([(9, 1 + n, n) for n in range(5)], range(5))),
        ("no piece", moved([], [])),
        ("a moved extent with a reference", moved(one, range(3), refs=ref)),
        ("neither references nor the cleaner's bit",
         moved([], range(3), pieces=[{"segment": 9, "block": 1, "first_slot": 0,
                                      "cleaner": False}])),
        ("a second piece without the cleaner's bit",
         moved([], range(9), pieces=[{"segment": 9, "block": 1, "first_slot": 0, "cleaner": True},
                                     {"segment": 9, "block": 9, "first_slot": 4,
                                      "cleaner": False}])),
        ("two pieces of a fresh extent",
         moved([], range(3), refs=ref, pieces=[{"segment": 9, "block": 0, "first_slot": 0,
                                                "cleaner": False}] * 2)),
    ]
    limits = {"segment_count": 64, "segment_blocks": 256}
    root_inputs = dict(roots()[1]["inputs"], incompat=15, next_number=9)
    return {"root": [dict(name="moved extents", inputs=root_inputs,
                          **result(root_slot(root_inputs), 768))],
            "group_header": [dict(name=n, inputs=i, **result(group_header(i), 512))
                             for n, i in (("full", full), ("two pages", short))],
            "refused_group": [dict(name=n, inputs={}, **result(group_header(i))) for n, i in bad],
            "descriptor": [dict(name=n, inputs=i, pages=pages_of(i), **limits,
                                **result(descriptor(i))) for n, i in cases],
            "refused_descriptor": [dict(name=n, inputs={}, **limits, **result(descriptor(i)))
                                   for n, i in wrong]}


def reencrypt():
    """A family whose data keys leave: an entry that says how much there was, and both turns."""
    keys = [dict(EK, key_id=9 + turn, flags=flags, turn=turn, first_extent=1, last_extent=22,
                 generation=3) for turn, flags in ((1, 0), (2, 0), (1, 2), (2, 2))]
    root_inputs = dict(roots()[1]["inputs"], incompat=31, next_number=9)
    return {"root": [dict(name="deep re-encryption", inputs=root_inputs,
                          **result(root_slot(root_inputs), 768))],
            "volume_entry": [dict(name=f"begun with {n - 1}", inputs=i, **result(volume_entry(i)))
                             for n in (1, 1 << 38)
                             for i in (dict(SNAPSHOT, reencrypt=n),)],
            "data_key": [dict(name=f"turn {i['turn']}, flags {i['flags']}", inputs=i,
                              vk_uuid=VK_UUID.hex(), aad=ek_aad(i, VK_UUID).hex(),
                              **result(ek_entry(i))) for i in keys]}


def access():
    """Volumes that were stopped, or whose key was lost; and the grant that each has."""
    grant = "0123456789abcdef" * 4
    volume = dict(SNAPSHOT, kind=0, context_uuid=ZEROS, own_cut=0, own_node_cut=0, writers=[],
                  grant=grant)
    since = 1700000002000000000
    states = [("a grant", {}), ("stopped", dict(access=1, since=since, seen=since)),
              ("recoverable", dict(access=2, cause=19, since=since, seen=since + 7)),
              ("gone for good", dict(access=3, cause=22, since=since, seen=since + 7 * 86400 * 10**9,
                                     unstoppable=True)),
              ("without a grant", dict(access=1, since=1, seen=1, grant=""))]
    stopped = dict(volume, access=2, since=since, seen=since)
    bad = [("access 4", dict(volume, access=4, since=since, seen=since)),
           ("a snapshot that is stopped", dict(stopped, kind=1)),
           ("seen before it was stopped", dict(stopped, seen=since - 1)),
           ("available with a cause", dict(volume, cause=19)),
           ("available with a time", dict(volume, since=since, seen=since)),
           ("a grant of 65 bytes", dict(volume, grant=grant + "0"))]
    roots_ = [dict(roots()[1]["inputs"], incompat=63, ro_compat=1, next_number=9),
              dict(roots()[1]["inputs"], incompat=0, ro_compat=1, next_number=9)]
    behind = dict(volume, lineages=[0], clear_name="")
    return {"root": [dict(name=n, inputs=i, **result(root_slot(i), 768))
                     for n, i in zip(("stopped volumes", "grants"), roots_)],
            "volume_entry": [dict(name=n, inputs=i, **result(volume_entry(i)))
                             for n, more in states for i in (dict(volume, **more),)],
            "refused_entry": [dict(name=n, inputs={}, **result(volume_entry(i))) for n, i in bad],
            "annex": [dict(name="a grant", inputs=behind, **result(annex(behind)))],
            "record": [dict(name=n, inputs=i, **result(record_plain(i)))
                       for n, state in states[1:4]
                       for i in (dict(RECORD, access=state["access"], since=state["since"]),)]}


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return struct.pack("<Q", value)


def sqlite_superblock(i, zeros=bytes(56)):
    head = struct.pack("<8sIIQQQQQQ", i.get("magic", "CofSQLdb").encode(), i.get("version", 1),
                       i.get("features", 0), i["supers"], i["journal"], i["wal"], i["main"],
                       i["floor"], i["journal_bytes"]) + zeros
    return head + fnv(head)


def sqlite_slot(i):
    head = struct.pack("<8sII16s24x", b"CofSQLmj", i.get("version", 1), i["length"],
                       i["name"].encode())
    return head + fnv(head)


def sqlite():
    """A SQLite database in a volume: superblocks, slots of super-journals, and what is refused."""
    mib, small = 1 << 20, dict(supers=1 << 20, journal=2 << 20, wal=5 << 20, main=8 << 20, floor=0,
                            journal_bytes=0)
    tib = dict(supers=mib, journal=2 * mib, wal=2 * mib + 2**38 - mib,
               main=2 * mib + 2**39 - 2 * mib, floor=123 * 4096, journal_bytes=5001)
    bad = [("another magic", small, {"magic": "CofSQLdB"}, 16 * mib, "NOT_A_STORE"),
           ("version 2", small, {"version": 2}, 16 * mib, "TOO_NEW"),
           ("version 0", small, {"version": 0}, 16 * mib, "CORRUPT"),
           ("a feature", small, {"features": 1}, 16 * mib, "TOO_NEW"),
           ("supers on the superblock", small, {"supers": 0}, 16 * mib, "CORRUPT"),
           ("no room for supers", small, {"journal": 2 * mib - 4096}, 16 * mib, "CORRUPT"),
           ("half a page", small, {"wal": 5 * mib + 2048}, 16 * mib, "CORRUPT"),
           ("journal behind the log", small, {"journal": 5 * mib}, 16 * mib, "CORRUPT"),
           ("log behind the database", small, {"wal": 9 * mib}, 16 * mib, "CORRUPT"),
           ("database behind the volume", small, {"main": 16 * mib}, 16 * mib, "CORRUPT"),
           ("longer than its room", small, {"floor": 8 * mib + 4096}, 16 * mib, "CORRUPT"),
           ("a journal longer than its room", small, {"journal_bytes": 3 * mib + 1}, 16 * mib,
            "CORRUPT"),
           ("absurd", small, {"main": 2**63, "floor": 2**63}, 2**56, "CORRUPT"),
           ("a volume that shrank", tib, {}, 2**38, "CORRUPT")]
    slots = [dict(name="-mjA0B1C2933", length=0), dict(name="-mj00000094F", length=65472)]
    refused = [dict(name="-mjA0B1C2933", length=65473), dict(name="-mjA0B1C293", length=1),
               dict(name="-mjA0B1C2933", length=1, version=2), dict(name="../etc/passw", length=1)]
    return {"superblock": [dict(name=n, inputs=dict(i, volume=v), **result(sqlite_superblock(i)))
                           for n, i, v in (("16 MiB", small, 16 * mib), ("1 TiB", tib, 2**40))],
            "refused_superblock":
                [dict(name=n, inputs=dict(volume=v, error=e),
                      **result(sqlite_superblock(dict(i, **more)))) for n, i, more, v, e in bad]
                + [dict(name="something in the zeros", inputs=dict(volume=16 * mib, error="TOO_NEW"),
                        **result(sqlite_superblock(small, bytes(55) + b"x"))),
                   dict(name="a bit of the sum",
                        inputs=dict(volume=16 * mib, error="CORRUPT"),
                        **result(sqlite_superblock(small)[:-1] + b"x"))],
            "slot": [dict(name=i["name"], inputs=i, **result(sqlite_slot(i))) for i in slots],
            "refused_slot": [dict(name=str(n), inputs={}, **result(sqlite_slot(i)))
                             for n, i in enumerate(refused)]}


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    segment, batch, run_list = logs()
    descs = descriptors()
    foot, bucket, entry, record = places(descs)
    volume, plain, key = catalogue()
    files = {"root": {"root": roots()},
             "log": {"segment_header": segment, "batch_header": batch, "run": run_list},
             "place": {"descriptor": descs, "footer": foot, "bucket": bucket, "tree_entry": entry,
                       "segment_record": record},
             "catalogue": {"volume_entry": volume, "record": plain, "data_key": key},
             "aad": aads(), "words": words(), "sealed": sealed(), "families": families(),
             "tags": tags(), "groups": groups(), "reencrypt": reencrypt(),
             "access": access(), "sqlite": sqlite()}
    for name, content in files.items():
        with open(os.path.join(where, name + ".json"), "w", encoding="ascii") as out:
            json.dump(content, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
