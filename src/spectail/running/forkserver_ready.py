"""The last import of the process that workers are forked from: Ctrl-C reaches it again, as it reaches any process.

While it imported the rest, SIGINT was held back (see `start_early`). Its forks would inherit that, also those that
other code in the program asks for, and nobody could interrupt them. A signal that came meanwhile was meant for the
parent.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that waits

signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

signal.signal(signal.SIGINT, signal.default_int_handler)
