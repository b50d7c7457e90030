"""One key -> one example: pure, jitted, vmapped synthesis of numbers on the device."""
