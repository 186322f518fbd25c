"""Python's collector of cycles, in processes whose pauses are felt by every request."""

import gc


def settle_garbage_collector() -> None:
    """Take what start-up made (modules, the model, the routes) out of the collector's sight, and let it look up seldom.

    A step, and a request, make thousands of objects and no cycles; collections among them would find nothing, and would
    pause all streams while they look at what is in flight.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
