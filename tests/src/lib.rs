//! Whole runs of omni-scale, simulators and the lab.
