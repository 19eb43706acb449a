"""The last import of the process that workers are forked from: Ctrl-C reaches it again, as it reaches any process.

While it imported the rest, SIGINT was held back (see `start_early`). Its forks would inherit that, also those that
other code in the program asks for, and nobody could interrupt them.

Not here: how that process is started (`forkserver`).
"""

from __future__ import annotations

from spectail.running.signals import let_through

let_through()
