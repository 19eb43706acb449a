from .store import Store as Store
from .store import open_run as open_run
from .store import save_run as save_run
