"""OpenStack Swift with its S3 interface, all servers in one process, on loopback: an S3 server for tests.

Arguments: a folder (made when missing; what it holds stays over restarts) and a port. Prints `ready` when it serves.
Signing name `test:tester`, secret `testing`.
"""
import array
import hashlib
import os
import sys

import eventlet

eventlet.monkey_patch()

from eventlet import listen, spawn, wsgi  # noqa: E402
from swift.common import storage_policy, utils  # noqa: E402
from swift.common.ring import RingData  # noqa: E402

folder, port = sys.argv[1], int(sys.argv[2])
os.makedirs(folder, exist_ok=True)

with open(os.path.join(folder, 'swift.conf'), 'w') as conf:
    conf.write('[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = one\ndefault = yes\n')
utils.SWIFT_CONF_FILE = os.path.join(folder, 'swift.conf')
storage_policy.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE
utils.validate_hash_conf()
storage_policy.reload_storage_policies()

from swift.account.server import AccountController  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402

devices = os.path.join(folder, 'devices')
os.makedirs(os.path.join(devices, 'd0'), exist_ok=True)
settings = {'devices': devices, 'swift_dir': folder, 'mount_check': 'false', 'fallocate_reserve': '0'}
# On a busy machine listings would otherwise be brought up to date later, by a daemon that does not run here.
patience = {'container_update_timeout': '60', 'conn_timeout': '60', 'node_timeout': '60'}
settings.update(patience)
kinds = {'account': AccountController, 'container': ContainerController, 'object': ObjectController}
logger = utils.get_logger({'log_level': 'ERROR'}, 'swift-tests')
silent = open(os.devnull, 'w')


def serve(socket, app):
    spawn(wsgi.server, socket, app, silent, protocol=SwiftHttpProtocol, debug=False)


for name, controller in kinds.items():
    socket = listen(('127.0.0.1', 0))
    at = socket.getsockname()[1]
    device = {'id': 0, 'zone': 0, 'region': 1, 'device': 'd0', 'ip': '127.0.0.1', 'port': at, 'weight': 1.0}
    device.update({'replication_ip': '127.0.0.1', 'replication_port': at})
    RingData([array.array('H', [0, 0])], [device], 31).save(os.path.join(folder, name + '.ring.gz'))
    serve(socket, controller(settings, logger=logger))

proxy = os.path.join(folder, 'proxy-server.conf')
with open(proxy, 'w') as conf:
    conf.write(f'''
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth bulk slo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = eu-test-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = {patience['conn_timeout']}
node_timeout = {patience['node_timeout']}
''')
serve(listen(('127.0.0.1', port)), loadapp(proxy))
print('ready', flush=True)
parent = os.getppid()
while os.getppid() == parent:
    eventlet.sleep(0.5)
