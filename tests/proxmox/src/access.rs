//! Tokens, roles and the access list (facts §1.3, §1.8; pve-access-control `AccessControl.pm`, `RPCEnvironment.pm`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Privileges on one path, with their propagate flag: what `GET /access/permissions` shows.
pub(crate) type Held = BTreeMap<String, bool>;

/// An API token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// Its secret.
    pub secret: String,
    /// Whether it has only the rights given to itself, within its user's (the default of Proxmox VE).
    pub privilege_separation: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Token")
            .field("privilege_separation", &self.privilege_separation)
            .finish_non_exhaustive()
    }
}

/// One line of the access list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The path, `/vms` or `/storage/local`.
    pub path: String,
    /// The user `a@pve` or token `a@pve!t`.
    pub to: String,
    /// The role.
    pub role: String,
    /// Whether it holds below the path too.
    #[serde(default = "yes")]
    pub propagate: bool,
}

const fn yes() -> bool {
    true
}

/// Who may do what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Tokens by `USER@REALM!TOKENID`.
    pub tokens: BTreeMap<String, Token>,
    /// The access list.
    pub entries: Vec<Entry>,
    /// Roles beyond the built-in ones.
    pub roles: BTreeMap<String, BTreeSet<String>>,
}

/// Who called: a user, `root@pam`, or a token, `a@pve!t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) String);

impl Caller {
    /// Root itself; a token of root's is not.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "root@pam"
    }
}

impl Access {
    /// Adds a token with a role on a path, for its user too, so that the token has it in effect.
    pub fn grant(&mut self, token: &str, secret: &str, path: &str, role: &str) {
        let token_entry = Token {
            secret: secret.to_owned(),
            privilege_separation: true,
        };
        self.tokens.insert(token.to_owned(), token_entry);
        let user = token.split('!').next().unwrap_or_default();
        for to in [user, token] {
            let entry = Entry {
                path: path.to_owned(),
                to: to.to_owned(),
                role: role.to_owned(),
                propagate: true,
            };
            self.entries.push(entry);
        }
    }

    /// Who sent this `Authorization` header.
    pub(crate) fn authenticate(&self, header: Option<&str>) -> Result<Caller, Refusal> {
        let unauthorized = |text: &str| Refusal::Unauthorized(text.to_owned());
        let value = header
            .and_then(|header| header.strip_prefix("PVEAPIToken"))
            .and_then(|rest| rest.strip_prefix(['=', ' ']))
            .ok_or_else(|| unauthorized("No ticket"))?;
        let (id, secret) = value
            .split_once(['=', ':'])
            .ok_or_else(|| unauthorized("invalid tokenid format"))?;
        let (user, name) = id
            .split_once('!')
            .ok_or_else(|| unauthorized("invalid tokenid format"))?;
        let token = self.tokens.get(id).ok_or_else(|| {
            Refusal::Unauthorized(format!("no such token '{name}' for user '{user}'"))
        })?;
        if token.secret == secret {
            Ok(Caller(id.to_owned()))
        } else {
            Err(unauthorized("invalid token value!"))
        }
    }

    /// What a caller holds on a path.
    pub(crate) fn held(&self, caller: &Caller, path: &str) -> Held {
        let Some((user, _)) = caller.0.split_once('!') else {
            return self.listed(&caller.0, path);
        };
        let users = self.listed(user, path);
        match self.tokens.get(&caller.0) {
            Some(token) if token.privilege_separation => {
                let own = self.listed(&caller.0, path);
                users
                    .into_iter()
                    .filter(|(privilege, _)| own.contains_key(privilege))
                    .collect()
            }
            Some(_) => users,
            None => Held::new(),
        }
    }

    /// What the access list gives one name: the entries nearest to the path replace those above it.
    fn listed(&self, name: &str, path: &str) -> Held {
        if name == "root@pam" {
            return PRIVILEGES
                .iter()
                .map(|privilege| ((*privilege).to_owned(), true))
                .collect();
        }
        let mut held = Held::new();
        for above in prefixes(path) {
            let here: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| {
                    entry.to == name && entry.path == above && (entry.propagate || above == path)
                })
                .collect();
            if here.is_empty() {
                continue;
            }
            held = here
                .iter()
                .flat_map(|entry| {
                    self.role(&entry.role)
                        .into_iter()
                        .map(|privilege| (privilege, entry.propagate))
                })
                .collect();
        }
        held
    }

    fn role(&self, name: &str) -> BTreeSet<String> {
        if let Some(own) = self.roles.get(name) {
            return own.clone();
        }
        PRIVILEGES
            .iter()
            .filter(|privilege| built_in(name, privilege))
            .map(|privilege| (*privilege).to_owned())
            .collect()
    }

    /// Whether a caller holds a privilege.
    pub(crate) fn may(&self, caller: &Caller, path: &str, privilege: &str) -> bool {
        self.held(caller, path).contains_key(privilege)
    }

    /// All of them, or 403 for the first that is missing (`RPCEnvironment.pm` `check`).
    pub(crate) fn check(
        &self,
        caller: &Caller,
        path: &str,
        privileges: &[&str],
    ) -> Result<(), Refusal> {
        let held = self.held(caller, path);
        match privileges
            .iter()
            .find(|privilege| !held.contains_key(**privilege))
        {
            Some(missing) => Err(Refusal::Forbidden(format!("{path}, {missing}"))),
            None => Ok(()),
        }
    }

    /// One of them (`RPCEnvironment.pm` `check_any`).
    pub(crate) fn check_any(
        &self,
        caller: &Caller,
        path: &str,
        privileges: &[&str],
    ) -> Result<(), Refusal> {
        let held = self.held(caller, path);
        if privileges
            .iter()
            .any(|privilege| held.contains_key(*privilege))
        {
            Ok(())
        } else {
            Err(Refusal::Forbidden(format!(
                "{path}, {}",
                privileges.join("|")
            )))
        }
    }

    /// All of them on a VM or on the pool that it is to join (`RPCEnvironment.pm` `check_vm_perm`).
    pub(crate) fn check_vm(
        &self,
        caller: &Caller,
        vmid: u32,
        pool: Option<&str>,
        privileges: &[&str],
    ) -> Result<(), Refusal> {
        if pool.is_some_and(|pool| {
            self.check(caller, &format!("/pool/{pool}"), privileges)
                .is_ok()
        }) {
            return Ok(());
        }
        self.check(caller, &format!("/vms/{vmid}"), privileges)
    }

    /// The paths that `GET /access/permissions` shows without being asked for one.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        [
            "/",
            "/access",
            "/access/groups",
            "/nodes",
            "/pool",
            "/sdn",
            "/storage",
            "/vms",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain(self.entries.iter().map(|entry| entry.path.clone()))
        .collect()
    }
}

/// `/`, `/vms`, `/vms/100` for `/vms/100`.
fn prefixes(path: &str) -> Vec<String> {
    let mut prefixes = vec!["/".to_owned()];
    let mut above = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        above = format!("{above}/{part}");
        prefixes.push(above.clone());
    }
    prefixes
}

/// The privileges that these calls look at (pve-access-control `AccessControl.pm`, 9.x: no `VM.Monitor`).
pub(crate) const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Pool.Audit",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
];

/// The roles that every installation has (facts §1.8).
fn built_in(role: &str, privilege: &str) -> bool {
    match role {
        "Administrator" => true,
        "PVEAdmin" => !["Sys.Modify", "Sys.AccessNetwork", "Sys.Console"].contains(&privilege),
        "PVEAuditor" => privilege.ends_with(".Audit"),
        "PVEVMAdmin" => privilege.starts_with("VM."),
        "PVEVMUser" => [
            "VM.Audit",
            "VM.Backup",
            "VM.Config.CDROM",
            "VM.Config.Cloudinit",
            "VM.Console",
            "VM.PowerMgmt",
        ]
        .contains(&privilege),
        "PVEDatastoreAdmin" => privilege.starts_with("Datastore."),
        "PVEDatastoreUser" => ["Datastore.AllocateSpace", "Datastore.Audit"].contains(&privilege),
        "PVESDNUser" => ["SDN.Audit", "SDN.Use"].contains(&privilege),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller(name.to_owned())
    }

    fn entry(path: &str, to: &str, role: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            to: to.to_owned(),
            role: role.to_owned(),
            propagate: true,
        }
    }

    /// facts §1.3 (pve-docs `pveum.adoc`:96): a token has no rights until it has its own, within its user's.
    #[test]
    fn a_separated_token_holds_what_it_and_its_user_hold() {
        let mut access = Access::default();
        let token = Token {
            secret: "s".to_owned(),
            privilege_separation: true,
        };
        access.tokens.insert("a@pve!t".to_owned(), token);
        access.entries = vec![entry("/vms", "a@pve", "PVEVMUser")];
        assert!(!access.may(&caller("a@pve!t"), "/vms/100", "VM.Audit"));
        access.entries.push(entry("/", "a@pve!t", "Administrator"));
        assert!(access.may(&caller("a@pve!t"), "/vms/100", "VM.Audit"));
        assert!(!access.may(&caller("a@pve!t"), "/vms/100", "VM.Allocate"));
        if let Some(token) = access.tokens.get_mut("a@pve!t") {
            token.privilege_separation = false;
        }
        access.entries.pop();
        assert!(access.may(&caller("a@pve!t"), "/vms/100", "VM.Audit"));
    }

    #[test]
    fn an_entry_nearer_to_the_path_replaces_those_above() {
        let mut access = Access::default();
        access.grant("a@pve!t", "s", "/vms", "PVEVMAdmin");
        access
            .entries
            .push(entry("/vms/100", "a@pve", "PVEAuditor"));
        assert!(!access.may(&caller("a@pve!t"), "/vms/100", "VM.Allocate"));
        assert!(access.may(&caller("a@pve!t"), "/vms/101", "VM.Allocate"));
    }

    /// facts §1.8: neither SDN.Use nor Datastore.AllocateSpace is in PVEVMAdmin.
    #[test]
    fn the_roles_lack_what_the_real_ones_lack() {
        let mut access = Access::default();
        access.grant("a@pve!t", "s", "/", "PVEVMAdmin");
        let caller = caller("a@pve!t");
        assert!(!access.may(&caller, "/sdn/zones/localnetwork/vmbr0", "SDN.Use"));
        assert!(!access.may(&caller, "/storage/local", "Datastore.AllocateSpace"));
        let refusal = access
            .check(&caller, "/storage/local", &["Datastore.AllocateSpace"])
            .unwrap_err();
        assert_eq!(
            refusal.text(),
            "Permission check failed (/storage/local, Datastore.AllocateSpace)"
        );
    }

    /// facts §1.2: 401 says why in its reason.
    #[test]
    fn a_wrong_token_is_told_what_is_wrong() {
        let mut access = Access::default();
        access.grant("a@pve!t", "right", "/", "PVEAuditor");
        let text = |header: Option<&str>| access.authenticate(header).unwrap_err().text();
        assert_eq!(text(None), "No ticket");
        assert_eq!(
            text(Some("PVEAPIToken=a@pve!t=wrong")),
            "invalid token value!"
        );
        assert_eq!(
            text(Some("PVEAPIToken=a@pve!u=right")),
            "no such token 'u' for user 'a@pve'"
        );
        assert_eq!(
            access.authenticate(Some("PVEAPIToken=a@pve!t=right")),
            Ok(caller("a@pve!t"))
        );
    }
}
