//! Machines against a model of the Proxmox VE API, in virtual time.

mod checks;
mod deletion;
mod first_boot;
mod making;
mod pace;
mod refusals;
mod rig;
mod schedules;
mod trust;
mod watching;
