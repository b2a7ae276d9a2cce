"""HTTP on loopback with kept connections."""
import http.client
import json
import urllib.parse

from .scope import ProgramFailed


class Client:
    def __init__(self, port, timeout=120):
        self.port, self.timeout, self.connection = port, timeout, None

    def request(self, method, path, body=None, headers=None):
        """-> (status, body); a connection that the server has closed meanwhile is opened again once."""
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=self.timeout)
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
                r = self.connection.getresponse()
                return r.status, r.read()
            except (http.client.HTTPException, OSError):
                self.close()
                if attempt:
                    raise
        raise AssertionError

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def get(self, path, params=()):
        """params: list of pairs, or a dict. Raises unless the status is 2xx."""
        query = urllib.parse.urlencode(list(params.items()) if isinstance(params, dict) else list(params))
        status, body = self.request('GET', path + ('?' + query if query else ''))
        if not 200 <= status < 300:
            raise ProgramFailed('GET %s: %d %s' % (path, status, body[:300]))
        return body

    def json(self, path, params=()):
        return json.loads(self.get(path, params))

    def post(self, path, body, headers=None):
        status, answer = self.request('POST', path, body, headers)
        if not 200 <= status < 300:
            raise ProgramFailed('POST %s: %d %s' % (path, status, answer[:300]))
        return answer

    def answers(self, path, status=200):
        """Whether it answers with that status; False when nobody listens."""
        try:
            return self.request('GET', path)[0] == status
        except (OSError, http.client.HTTPException):
            self.close()
            return False
