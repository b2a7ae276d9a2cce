"""Certificates made for one test, with the openssl command: CAs, and what they issue, good or not."""
import os


class Authority:
    """A CA of its own in a directory; `ca` is the path of its certificate."""

    def __init__(self, scope, directory, name='Test CA'):
        self.scope, self.dir, self.name, self.index = scope, directory, name, 0
        os.makedirs(directory, exist_ok=True)
        self.ca, self.key = self.path('ca.pem'), self.path('ca.key')
        self._openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=' + name,
                      '-keyout', self.key, '-out', self.ca)

    def path(self, name):
        return os.path.join(self.dir, name)

    def _openssl(self, *args):
        self.scope.run(['openssl', *args])

    def issue(self, name, names=('DNS:localhost', 'IP:127.0.0.1'), days=30):
        """-> (certificate, key), paths of PEM files. Negative days: it has expired."""
        cert, key, csr, extensions = (self.path(name + end) for end in ('.pem', '.key', '.csr', '.ext'))
        self._openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=' + name, '-keyout', key, '-out', csr)
        with open(extensions, 'w') as f:
            f.write('subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' % ','.join(names))
        self.index += 1
        self._openssl('x509', '-req', '-in', csr, '-CA', self.ca, '-CAkey', self.key, '-set_serial', str(self.index), '-days', str(days),
                      '-extfile', extensions, '-out', cert)
        return cert, key

    def keystore(self, name, cert, key):
        """Key and chain in one file, as Kafka reads it -> its path"""
        pkcs8, out = self.path(name + '.p8'), self.path(name + '-keystore.pem')
        self._openssl('pkcs8', '-topk8', '-nocrypt', '-in', key, '-out', pkcs8)
        with open(out, 'w') as f:
            for part in (pkcs8, cert, self.ca):
                with open(part) as p:
                    f.write(p.read())
        return out
