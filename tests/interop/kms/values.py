# SPDX-License-Identifier: Apache-2.0
"""What `let` and {"?do": ...} work out: blobs, damage to them, wrapping and checks by openssl.

A blob is its base64 text, here and in every driver's answers. openssl is the independent oracle of
imports, signatures and agreement; nothing of the service under test is used.
"""
import base64
import hashlib
import hmac as hmac_of
import json as json_of
import os
import subprocess
import tempfile


def encode(data):
    return base64.b64encode(data).decode()


def base64_(text):
    return encode(text.encode())


def zeros(count):
    return encode(bytes(count))


def letters(count, prefix=""):
    return prefix + "x" * count


def json(value):
    return json_of.dumps(value, separators=(",", ":"))


def same(value):
    return value


def random(count):
    return encode(os.urandom(count))


def flip(value, at):
    data = bytearray(base64.b64decode(value))
    data[at] ^= 1
    return encode(bytes(data))


def cut(value, to):
    return encode(base64.b64decode(value)[:to])


def grow(value, by):
    return encode(base64.b64decode(value) + bytes(by))


def blank(value, size):
    """Bytes of another maker: random when large, zeros when small."""
    return encode(os.urandom(size) if size > 1000 else bytes(size))


def hmac(key, message):
    return encode(hmac_of.new(base64.b64decode(key), message.encode(), hashlib.sha256).digest())


def openssl(*words, data=None):
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr.decode(errors='replace')[:300]}")
    return done.stdout


def oaep(public, digest, data, folder):
    path = os.path.join(folder, "public.der")
    with open(path, "wb") as handle:
        handle.write(base64.b64decode(public))
    return openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", path,
                   "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:{digest}",
                   "-pkeyopt", f"rsa_mgf1_md:{digest}", data=data)


def wrap(algorithm, public, material):
    """Material wrapped for ImportKeyMaterial, by the openssl program."""
    digest = "sha1" if algorithm.endswith("SHA_1") else "sha256"
    data = base64.b64decode(material)
    with tempfile.TemporaryDirectory() as folder:
        if not algorithm.startswith("RSA_AES"):
            return encode(oaep(public, digest, data, folder))
        key = os.urandom(32)
        wrapped = openssl("enc", "-id-aes256-wrap-pad", "-K", key.hex(), "-iv", "A65959A6",
                          data=data)
        return encode(oaep(public, digest, key, folder) + wrapped)


def verifies(public, message, signature, algorithm):
    """Whether openssl takes the signature."""
    digest = "sha" + algorithm.rsplit("_", 1)[1]
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("public.der", base64.b64decode(public)),
                           ("signature", base64.b64decode(signature)),
                           ("message", message.encode())):
            with open(os.path.join(folder, name), "wb") as handle:
                handle.write(data)
        options = []
        if "PSS" in algorithm:
            options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        pem = openssl("pkey", "-pubin", "-inform", "DER", "-in", folder + "/public.der")
        with open(folder + "/public.pem", "wb") as handle:
            handle.write(pem)
        done = subprocess.run(["openssl", "dgst", f"-{digest}", "-verify", folder + "/public.pem",
                               *options, "-signature", folder + "/signature",
                               folder + "/message"], capture_output=True, check=False)
        return done.returncode == 0


def pair(spec):
    """An elliptic pair that only this program has, both halves in DER."""
    curve = spec.replace("ECC_NIST_P", "P-")
    private = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}",
                      "-outform", "DER")
    pkcs8 = openssl("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-outform", "DER",
                    data=private)
    public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=pkcs8)
    return {"Private": encode(pkcs8), "Public": encode(public)}


def shared(private, public):
    """What the openssl program derives from one half of each."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("private", private), ("public", public)):
            with open(os.path.join(folder, name), "wb") as handle:
                handle.write(base64.b64decode(data))
        return encode(openssl("pkeyutl", "-derive", "-keyform", "DER", "-inkey",
                              folder + "/private", "-peerform", "DER", "-peerkey",
                              folder + "/public"))


FUNCTIONS = {"base64": base64_, "zeros": zeros, "letters": letters, "json": json, "same": same,
             "random": random, "flip": flip, "cut": cut, "grow": grow, "blank": blank,
             "hmac": hmac, "wrap": wrap, "verifies": verifies, "pair": pair,
             "shared": shared}
