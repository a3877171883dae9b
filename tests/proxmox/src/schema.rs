//! What a parameter may be, and the words for one that is not: PVE::JSONSchema for the calls of this model.
//!
//! Tables here are written by hand and held to the published schema by `tests/schema_gate.rs`. Texts are those of
//! pve-common `src/PVE/JSONSchema.pm` (`check_prop`, `check_object`, `parse_property_string`).

mod address;
mod check;
mod drives;
mod format;
mod property_string;
mod vm;

pub(crate) use check::{check, lookup};
pub use format::Format;
pub(crate) use format::{list, parse_size, print_size};
pub(crate) use property_string::parse as parse_property_string;
pub(crate) use vm::{AGENT, BOOT, NET, VM, boolean_key, integer_key};

pub(crate) use drives::{DRIVE, EFI_DISK, is_drive};

/// One parameter, or one key of a property string.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name; that of a family (`scsi[n]`) without the number.
    pub name: &'static str,
    /// How many a family has (`scsi` 31: `scsi0` to `scsi30`); 0 for a plain parameter.
    pub family: u32,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Another parameter that must be there with it.
    pub requires: Option<&'static str>,
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text, at most so long (0: no limit).
    Text(usize),
    /// A whole number within the limits.
    Integer(Option<i64>, Option<i64>),
    /// A number.
    Number(Option<i64>, Option<i64>),
    /// `1` or `0` and their words.
    Boolean,
    /// One of these.
    Enumeration(&'static [&'static str]),
    /// Text that matches; the pattern is Proxmox VE's own, for the reader.
    Pattern(&'static str, fn(&str) -> bool),
    /// A registered format.
    Format(Format),
    /// `key=value,…` with these keys.
    PropertyString(&'static [Key]),
}

/// A key of a property string.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key and what its value may be.
    pub property: Property,
    /// The key that a value without one belongs to.
    pub default: bool,
    /// Another name for the key named here; with `Some(other)` in `key_alias`, that key takes this name as its value
    /// (`virtio=MAC` is `model=virtio,macaddr=MAC`).
    pub alias: Option<&'static str>,
    /// See `alias`.
    pub key_alias: Option<&'static str>,
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        family: 0,
        kind,
        optional: true,
        requires: None,
    }
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        family: 0,
        kind,
        optional: false,
        requires: None,
    }
}

pub(crate) const fn family(name: &'static str, count: u32, kind: Kind) -> Property {
    Property {
        name,
        family: count,
        kind,
        optional: true,
        requires: None,
    }
}

pub(crate) const fn with(name: &'static str, kind: Kind, requires: &'static str) -> Property {
    Property {
        name,
        family: 0,
        kind,
        optional: true,
        requires: Some(requires),
    }
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key {
        property: optional(name, kind),
        default: false,
        alias: None,
        key_alias: None,
    }
}

const fn key_default(name: &'static str, kind: Kind) -> Key {
    Key {
        property: required(name, kind),
        default: true,
        alias: None,
        key_alias: None,
    }
}

const fn key_default_optional(name: &'static str, kind: Kind) -> Key {
    Key {
        property: optional(name, kind),
        default: true,
        alias: None,
        key_alias: None,
    }
}

const fn alias(name: &'static str, of: &'static str) -> Key {
    Key {
        property: optional(name, Kind::Text(0)),
        default: false,
        alias: Some(of),
        key_alias: None,
    }
}

const fn model(name: &'static str) -> Key {
    Key {
        property: optional(name, Kind::Text(0)),
        default: false,
        alias: Some("macaddr"),
        key_alias: Some("model"),
    }
}
