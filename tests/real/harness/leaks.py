"""Secrets that were planted, and where they come to light: as they are, in base64, in hexadecimal."""
import base64
import os
import random
import string


def password():
    return ''.join(random.SystemRandom().choice(string.ascii_letters + string.digits) for _ in range(24))


def forms(secret):
    """What a dump or a protocol makes of it. Base64 depends on where it begins: the inner part of each case."""
    raw = secret.encode()
    out = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        text = base64.b64encode(b'\0' * shift + raw)
        out.append(text[4 if shift else 0:-4])
    return out


class Planted:
    def __init__(self, *names):
        self.secrets = {name: password() for name in names}

    def __getitem__(self, name):
        return self.secrets[name]

    def found(self, data):
        """Names of those that are in data (bytes), each with what is around it."""
        out = {}
        for name, secret in self.secrets.items():
            for form in forms(secret):
                at = data.find(form)
                if at >= 0:
                    out[name] = data[max(0, at - 80):at + len(form) + 20].decode('utf-8', 'replace').replace(secret, '[' + name + ']')
        return out

    def found_below(self, directory):
        """The same in all files -> {path: names}"""
        out = {}
        for folder, _, files in os.walk(directory):
            for f in files:
                path = os.path.join(folder, f)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, 'rb') as opened:
                        found = self.found(opened.read())
                    if found:
                        out[path] = found
        return out
