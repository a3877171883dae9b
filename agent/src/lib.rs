//! The hands of omni-scale: one daemon per host.
