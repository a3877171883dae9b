//! Faults, kills and other people, by seed.
