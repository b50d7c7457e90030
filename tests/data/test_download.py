"""fetch against a local server that cuts connections, ignores Range, sends wrong bytes or is not there."""

import contextlib
import hashlib
import http.server
import os
import threading

import numpy as np
import pytest

from digits_jax.data import download, places
from digits_jax.errors import InputError

os.environ['no_proxy'] = '127.0.0.1'  # a proxy that the machine may have is not for these tests
SIZE = 600_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
  """Serves `files`; `requests` lists (path, Range). `cuts` are bytes after which coming answers break off."""

  def __init__(self, files):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.files, self.requests, self.cuts, self.knows_range, self.status = files, [], [], True, 200
    self.says_length = True
    self.url = f'http://127.0.0.1:{self.server_port}/'


class _Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    wanted = self.headers.get('Range')
    self.server.requests.append((self.path, wanted))
    content = self.server.files.get(self.path.lstrip('/'))
    if content is None or self.server.status != 200:
      return self.send_error(404 if content is None else self.server.status)
    start = int(wanted.removeprefix('bytes=').removesuffix('-')) if wanted and self.server.knows_range else 0
    if start and start >= len(content):
      self.send_response(416)
      self.send_header('Content-Range', f'bytes */{len(content)}')
      self.send_header('Content-Length', '0')
      return self.end_headers()
    self.send_response(206 if start else 200)
    if start:
      self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
    if self.server.says_length:
      self.send_header('Content-Length', str(len(content) - start))
    self.end_headers()
    cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
    with contextlib.suppress(ConnectionError):
      self.wfile.write(content[start : start + cut])

  def log_message(self, *_):
    pass


@contextlib.contextmanager
def serving(files):
  """A running Server."""
  server = Server(files)
  thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setattr(download, '_PAUSE_SECONDS', 0)
  with serving({'file.gz': CONTENT, 'wrong.gz': CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])}) as server:
    yield server


@pytest.fixture
def path(tmp_path):
  return str(tmp_path / 'new' / 'file.gz')


def _fetch(urls, path):
  download.fetch([urls] if isinstance(urls, str) else urls, path, sha256=SHA256, size=SIZE)
  with open(path, 'rb') as file:
    assert file.read() == CONTENT
  assert not os.path.exists(path + '.part')


def _leave(path, content):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'wb') as file:
    file.write(content)


def _read(path):
  with open(path, 'rb') as file:
    return file.read()


def test_fetch_then_nothing_more(server, path):
  _fetch(server.url + 'file.gz', path)
  _fetch(server.url + 'file.gz', path)
  assert server.requests == [('/file.gz', None)]


def test_cut_connection_continues_in_the_same_call(server, path):
  server.cuts = [100_000, 50_000]
  _fetch(server.url + 'file.gz', path)
  assert [wanted for _, wanted in server.requests] == [None, 'bytes=100000-', 'bytes=150000-']


def test_cut_connection_continues_in_a_later_call(server, path):
  server.cuts = [100_000, 0]
  with pytest.raises(InputError, match='cut after 100,000 of 600,000 bytes'):
    _fetch(server.url + 'file.gz', path)
  assert not os.path.exists(path) and _read(path + '.part') == CONTENT[:100_000]
  _fetch(server.url + 'file.gz', path)
  assert [wanted for _, wanted in server.requests] == [None, 'bytes=100000-', 'bytes=100000-']


@pytest.mark.parametrize('knows_range', [True, False])
@pytest.mark.parametrize('part', [CONTENT[:1000], CONTENT, CONTENT + b'more', b'x' * 1000])
def test_any_part_ends_well(server, path, part, knows_range):
  server.knows_range = knows_range
  _leave(path + '.part', part)
  _fetch(server.url + 'file.gz', path)


def test_a_whole_part_needs_no_network(server, path):
  _leave(path + '.part', CONTENT)
  _fetch(server.url + 'file.gz', path)
  assert server.requests == []


@pytest.mark.parametrize('part', [b'', CONTENT[:1000]])
def test_wrong_checksum_leaves_nothing(server, path, part):
  _leave(path + '.part', part)
  with pytest.raises(InputError, match=r'cannot download file\.gz .*wrong\.gz has the wrong checksum'):
    _fetch(server.url + 'wrong.gz', path)
  assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize('says_length', [True, False])
def test_never_more_than_the_size(server, path, says_length):
  server.says_length = says_length
  message = 'it sends 600,000 bytes instead of 1,000' if says_length else 'more than the 1,000 bytes'
  with pytest.raises(InputError, match=message):
    download.fetch([server.url + 'file.gz'], path, sha256=SHA256, size=1000)
  assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize('page', [b'<html>', CONTENT + b'<html>'])
def test_another_page_costs_nothing_that_was_there(server, path, page):
  server.files['page.gz'], server.knows_range = page, False
  _leave(path + '.part', CONTENT[:1000])
  with pytest.raises(InputError, match=rf'it sends {len(page):,} bytes instead of 600,000'):
    _fetch(server.url + 'page.gz', path)
  assert _read(path + '.part') == CONTENT[:1000]


def test_mirrors_in_turn(server, path):
  _fetch([server.url + name for name in ('nothing.gz', 'wrong.gz', 'file.gz', 'never.gz')], path)
  assert [name for name, _ in server.requests] == ['/nothing.gz', '/wrong.gz', '/file.gz']


def test_without_network_the_way_out(path):
  with pytest.raises(InputError) as caught:
    _fetch(['http://127.0.0.1:9/file.gz', 'nonsense'], path)
  message = str(caught.value)
  assert message.startswith('cannot download file.gz (http://127.0.0.1:9/file.gz: ')
  assert message.endswith(f': get it from http://127.0.0.1:9/file.gz by hand and put it at {path}')
  assert 'unknown url type' in message and '\n' not in message


def test_a_wrong_file_is_moved_aside(server, path, caplog):
  _leave(path, b'an old version')
  _fetch(server.url + 'file.gz', path)
  assert _read(path + '.wrong') == b'an old version'
  assert 'has 14 bytes instead of 600,000' in caplog.text


def test_server_error_is_named(server, path):
  server.status = 503
  with pytest.raises(InputError, match=r'HTTP 503 Service Unavailable'):
    _fetch(server.url + 'file.gz', path)
  assert len(server.requests) == 1


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_a_full_disk_is_no_network_fault(server, path):
  os.makedirs(os.path.dirname(path))
  os.symlink('/dev/full', path + '.part')
  with pytest.raises(InputError, match=r'^cannot write .*file\.gz\.part: No space left'):
    _fetch([server.url + 'file.gz'] * 2, path)
  assert len(server.requests) == 1


def test_fetch_all_names_every_missing_file(server, tmp_path):
  archives = [download.Archive(name, SIZE, SHA256) for name in ('file.gz', 'b.gz', 'c.gz')]
  with pytest.raises(InputError, match=r'cannot download b\.gz .*; also missing there: c\.gz$'):
    download.fetch_all(archives, str(tmp_path), mirrors=[server.url])
  server.files |= {'b.gz': CONTENT, 'c.gz': CONTENT}
  paths = download.fetch_all(archives, str(tmp_path), mirrors=[server.url.rstrip('/')])
  assert [os.path.basename(path) for path in paths] == ['file.gz', 'b.gz', 'c.gz']
  assert all(_read(path) == CONTENT for path in paths)


def test_one_process_downloads_a_file_at_a_time(server, path):
  os.makedirs(os.path.dirname(path))
  refused = pytest.raises(InputError, match=r'^another process is downloading .*file\.gz: wait for it$')
  with places.locked(path + '.part', 'something else'), refused:
    _fetch(server.url + 'file.gz', path)
  assert server.requests == [] and not os.path.exists(path)
  _fetch(server.url + 'file.gz', path)
  assert _read(path) == CONTENT and os.listdir(os.path.dirname(path)) == ['file.gz']


def test_what_another_process_has_brought_meanwhile_is_taken(server, path, monkeypatch):
  os.makedirs(os.path.dirname(path))
  locked = places.locked

  def finish_first(*arguments):
    _leave(path, CONTENT)
    return locked(*arguments)

  monkeypatch.setattr(places, 'locked', finish_first)
  _fetch(server.url + 'file.gz', path)
  assert server.requests == [] and os.listdir(os.path.dirname(path)) == ['file.gz']


def test_no_test_gets_anything_from_another_machine(tmp_path):
  with pytest.raises(pytest.fail.Exception, match=r'asks for the network: mirror\.example'):
    _fetch('http://mirror.example/file.gz', str(tmp_path / 'file.gz'))
