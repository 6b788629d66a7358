# A foreign Noise peer for tests: the separate implementation "dissononce" (Debian: python3-dissononce), driven line by line.
# `noise_peer.py serve`    reads one JSON command per line and answers one JSON object per line.
# `noise_peer.py vectors`  prints test vectors in the form of cacophony, computed by dissononce alone.
#
# Two differences from revision 34 are bridged here and nowhere else:
# - In XXfallback the specification's initiator is the side that falls back (sections 7.2 and 10.2), so it sends with the
#   first cipher state; dissononce keeps the roles of the first handshake, so its two cipher states are exchanged here.
# - dissononce's Rekey() keeps the tag as part of the key and sets the nonce to zero; the specification takes the first
#   32 bytes and leaves the nonce (sections 4.2 and 11.3), which is done here.

import hashlib
import json
import sys

from dissononce.cipher.aesgcm import AESGCMCipher
from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.public import PublicKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.exceptions.decrypt import DecryptFailedException
from dissononce.extras.dh.dangerous.dh_nogen import NoGenDH
from dissononce.hash.blake2b import Blake2bHash
from dissononce.hash.blake2s import Blake2sHash
from dissononce.hash.sha256 import SHA256Hash
from dissononce.hash.sha512 import SHA512Hash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.handshakepatterns.interactive.XX import XXHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.fallback import FallbackPatternModifier

CIPHERS = {"AESGCM": AESGCMCipher, "ChaChaPoly": ChaChaPolyCipher}
HASHES = {"SHA256": SHA256Hash, "SHA512": SHA512Hash, "BLAKE2s": Blake2sHash, "BLAKE2b": Blake2bHash}
PATTERNS = {
    "XX": XXHandshakePattern,
    "IK": IKHandshakePattern,
    "XXfallback": lambda: FallbackPatternModifier().modify(XXHandshakePattern()),
}


def key_pair(private):
    return X25519DH().generate_keypair(PrivateKey(private))


class Peer:
    """One side of one session. `initiator` is always the side that sent the very first message."""

    def __init__(self, initiator, static, prologue, cipher="AESGCM", hash_name="SHA256", ephemeral=None):
        self.initiator = initiator
        self.static = static
        self.prologue = prologue
        self.cipher = cipher
        self.hash_name = hash_name
        self.ephemeral = ephemeral
        self.handshake = None
        self.states = None

    def start(self, pattern, rs=None, e=None, re=None):
        self.pattern = pattern
        dh = X25519DH() if self.ephemeral is None else NoGenDH(X25519DH(), PrivateKey(self.ephemeral))
        symmetric = SymmetricState(CipherState(CIPHERS[self.cipher]()), HASHES[self.hash_name]())
        self.handshake = HandshakeState(symmetric, dh)
        self.handshake.initialize(
            PATTERNS[pattern](), self.initiator, self.prologue, s=self.static, rs=rs, e=e, re=re
        )

    def fall_back(self):
        if self.initiator:
            self.start("XXfallback", e=self.handshake.e)
        else:
            self.start("XXfallback", re=self.handshake.re)

    def finish(self, states):
        if states is None:
            return
        first, second = states if self.pattern != "XXfallback" else (states[1], states[0])
        self.states = (first, second) if self.initiator else (second, first)

    def write(self, payload):
        message = bytearray()
        self.finish(self.handshake.write_message(payload, message))
        return bytes(message)

    def read(self, message):
        payload = bytearray()
        self.finish(self.handshake.read_message(message, payload))
        return bytes(payload)

    def seal(self, plaintext):
        return self.states[0].encrypt_with_ad(b"", plaintext)

    def open(self, message):
        return self.states[1].decrypt_with_ad(b"", message)

    def rekey(self):
        for state in self.states:
            nonce = state._nonce
            state.initialize_key(state.cipher.rekey(state._key)[:32])
            state.set_nonce(nonce)

    def hash(self):
        return self.handshake.symmetricstate.get_handshake_hash()


def serve():
    peer = None
    for line in sys.stdin:
        command = json.loads(line)
        data = bytes.fromhex(command.get("data", ""))
        answer = {}
        try:
            op = command["op"]
            if op == "start":
                peer = Peer(
                    command["initiator"], key_pair(bytes.fromhex(command["static"])), bytes.fromhex(command["prologue"])
                )
                rs = command.get("remoteStatic")
                peer.start(command["pattern"], rs=PublicKey(bytes.fromhex(rs)) if rs else None)
                answer["data"] = peer.static.public.data.hex()
            elif op == "fallback":
                peer.fall_back()
            elif op == "rekey":
                peer.rekey()
            elif op == "hash":
                answer["data"] = peer.hash().hex()
            else:
                answer["data"] = {"write": peer.write, "read": peer.read, "seal": peer.seal, "open": peer.open}[op](data).hex()
        except DecryptFailedException:
            answer["error"] = "decryption-failed"
        print(json.dumps(answer), flush=True)


def seed(label):
    return hashlib.sha256(label.encode()).digest()


def vector(pattern, cipher, hash_name):
    name = "Noise_%s_25519_%s_%s" % (pattern, cipher, hash_name)
    prologue = b"DB\x01\x01"
    keys = {who: seed("%s %s" % (name, who)) for who in ("alice_s", "alice_e", "bob_s", "bob_e")}
    alice = Peer(True, key_pair(keys["alice_s"]), prologue, cipher, hash_name, keys["alice_e"])
    bob = Peer(False, key_pair(keys["bob_s"]), prologue, cipher, hash_name, keys["bob_e"])
    first, second = alice, bob
    if pattern == "XXfallback":
        # Bob is the specification's initiator; Alice's ephemeral key is known from an earlier message.
        alice_e = key_pair(keys["alice_e"])
        alice.start(pattern, e=alice_e)
        bob.start(pattern, re=alice_e.public)
        first, second = bob, alice
        roles = {"init": "bob", "resp": "alice"}
    else:
        alice.start(pattern, rs=bob.static.public if pattern == "IK" else None)
        bob.start(pattern)
        roles = {"init": "alice", "resp": "bob"}
    result = {"protocol_name": name}
    for side, who in roles.items():
        result[side + "_prologue"] = prologue.hex()
        result[side + "_static"] = keys[who + "_s"].hex()
        result[side + "_ephemeral"] = keys[who + "_e"].hex()
    if pattern == "IK":
        result["init_remote_static"] = bob.static.public.data.hex()
    if pattern == "XXfallback":
        result["init_remote_ephemeral"] = alice_e.public.data.hex()
    messages = []
    for i in range(7):
        sender, receiver = (first, second) if i % 2 == 0 else (second, first)
        payload = seed("%s payload %d" % (name, i))[: 5 * i]
        if sender.states is None:
            message = sender.write(payload)
            assert receiver.read(message) == payload
        else:
            message = sender.seal(payload)
            assert receiver.open(message) == payload
        messages.append({"payload": payload.hex(), "ciphertext": message.hex()})
    assert alice.hash() == bob.hash()
    result["handshake_hash"] = alice.hash().hex()
    result["messages"] = messages
    return result


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif sys.argv[1:] == ["vectors"]:
        made = [
            vector(pattern, cipher, hash_name)
            for pattern in PATTERNS
            for cipher, hash_name in (("AESGCM", "SHA256"), ("AESGCM", "BLAKE2b"), ("ChaChaPoly", "SHA512"), ("ChaChaPoly", "BLAKE2s"))
        ]
        print(json.dumps({"vectors": made}, indent=2))
    else:
        sys.exit("usage: noise_peer.py serve|vectors")
