"""Real PostgreSQL and Redis as children of this process: binaries from wheels, supervision ours.

1. `binaries` finds the two servers inside the installed wheels; never one installed on the machine.
2. `child` starts a process that dies with its parent, and stops it within a bound.
3. `postgres_server` and `redis_server` start, probe and stop one server in one folder.
4. `supervisor` keeps a list of children alive and stops them in reverse order.

When a server is killed -9 the supervisor starts it again; when the supervisor is killed -9 the
kernel ends the servers. A folder belongs to one process at a time: an advisory lock says to whom.
"""
