//! Asks DNS and HTTPS from where it stands: on a host, or inside a container's network namespace.
