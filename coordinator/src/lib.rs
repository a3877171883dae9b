//! Rolls out a self-hosted Sidero Omni on a tailnet.
