//! What stands in for Omni and its Proxmox provider in the lab.
