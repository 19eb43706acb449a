"""What the process that workers are forked from imports last: it takes in Ctrl-C again as any process does.

While it imported the rest, SIGINT was held back (see `start_early`). Forks inherit that, also those that other code in
the same program asks for, and they shall be interruptible. A signal that came meanwhile was meant for the parent.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that waits

signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

signal.signal(signal.SIGINT, signal.default_int_handler)
