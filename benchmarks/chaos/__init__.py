"""Does anything go wrong when everything does? Faults by a seed, an audit from the sandbox's own books."""
