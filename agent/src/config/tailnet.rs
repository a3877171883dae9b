//! `[tailnet]` of agent.toml: which devices of the tailnet may do what, and which operator belongs to which.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{CapabilityName, OperatorName};
use omni_scale_proto::role::Role;
use serde::Deserialize;
use toml::Spanned;

use super::fault::Fault;

/// Whom the tailnet may send. Without any of `capability`, `logins` and `tags`, every device of the
/// tailnet may do what its operator's certificate allows.
///
/// A role from here never widens a certificate: the lower of the two holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailnetPolicy {
    /// The application capability whose values name roles: `example.com/cap/omni-scale`.
    pub capability: Option<CapabilityName>,
    /// Roles by login of the device's owner: `ada@example.net`.
    pub logins: BTreeMap<String, Role>,
    /// Roles by tag of the device: `tag:operator`.
    pub tags: BTreeMap<String, Role>,
    /// Where an operator's certificate may come from. Whatever is named for one operator is no
    /// other operator's, unless it is named for them too.
    pub bind: BTreeMap<OperatorName, BTreeSet<Holder>>,
}

impl TailnetPolicy {
    /// Whether a device needs a role from here.
    pub fn grants_roles(&self) -> bool {
        self.capability.is_some() || !self.logins.is_empty() || !self.tags.is_empty()
    }
}

/// Where a certificate may come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Any device of this login.
    Login(String),
    /// The device with this StableID.
    Device(String),
}

/// As written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTailnet {
    capability: Option<Spanned<String>>,
    logins: BTreeMap<Spanned<String>, Spanned<String>>,
    tags: BTreeMap<Spanned<String>, Spanned<String>>,
    bind: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

impl RawTailnet {
    pub(super) fn check(self) -> Result<TailnetPolicy, Fault> {
        let capability = self.capability.map(|name| {
            let parsed = name.get_ref().parse::<CapabilityName>();
            parsed.map_err(|error| Fault::new(&name, error.to_string()))
        });
        let logins = roles(self.logins, |login| {
            let plain = login.contains('@') && !login.contains(char::is_whitespace);
            plain
                .then_some(())
                .ok_or("is not a login: write it as in `ada@example.net`")
        })?;
        let tags = roles(self.tags, |tag| {
            let name = tag.strip_prefix("tag:").unwrap_or_default();
            let plain = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (plain && !name.is_empty())
                .then_some(())
                .ok_or("is not a tag: write it as in `tag:operator`")
        })?;
        Ok(TailnetPolicy {
            capability: capability.transpose()?,
            logins,
            tags,
            bind: bindings(self.bind)?,
        })
    }
}

fn roles(
    raw: BTreeMap<Spanned<String>, Spanned<String>>,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<BTreeMap<String, Role>, Fault> {
    let mut roles = BTreeMap::new();
    for (name, role) in raw {
        check(name.get_ref())
            .map_err(|rule| Fault::new(&name, format!("`{}` {rule}", name.get_ref())))?;
        let parsed = role.get_ref().parse();
        let known = ["viewer", "operator", "admin"];
        let parsed = parsed.map_err(|_| Fault::unknown("role", &role, &known))?;
        roles.insert(name.into_inner(), parsed);
    }
    Ok(roles)
}

fn bindings(
    raw: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
) -> Result<BTreeMap<OperatorName, BTreeSet<Holder>>, Fault> {
    let mut bindings = BTreeMap::new();
    for (operator, holders) in raw {
        let name: OperatorName = operator
            .get_ref()
            .parse()
            .map_err(|error| Fault::new(&operator, format!("{error}")))?;
        if holders.is_empty() {
            let rule = "is bound to nothing, which nobody could use: name a login or a device's StableID, or take the line out";
            return Err(Fault::new(&operator, format!("`{name}` {rule}")));
        }
        let holders = holders.into_iter().map(holder).collect::<Result<_, _>>()?;
        bindings.insert(name, holders);
    }
    Ok(bindings)
}

fn holder(value: Spanned<String>) -> Result<Holder, Fault> {
    let text = value.get_ref();
    if text.contains('@') && !text.contains(char::is_whitespace) {
        return Ok(Holder::Login(value.into_inner()));
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain && !text.is_empty() {
        return Ok(Holder::Device(value.into_inner()));
    }
    let rule = "is neither a login nor a device's StableID (`tailscale status --json` shows it as `ID`; names of devices can be taken over)";
    Err(Fault::new(&value, format!("`{text}` {rule}")))
}
