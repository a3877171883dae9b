//! What the tailnet's half says about a caller: pure, by the policy in agent.toml.

use omni_scale_proto::id::OperatorName;
use omni_scale_proto::role::Role;
use serde_json::Value;

use crate::config::{Holder, TailnetPolicy};
use crate::tailnet::Peer;

/// The role that the tailnet gives a device here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The highest of all that apply.
    pub role: Role,
    /// By what, for people.
    pub source: String,
}

/// What the tailnet gives `peer`. `Ok(None)`: no policy is configured, so being a device of the
/// tailnet is enough. `Err` says what is missing, and what to write where.
pub fn granted(policy: &TailnetPolicy, peer: &Peer) -> Result<Option<Grant>, String> {
    if !policy.grants_roles() {
        return Ok(None);
    }
    let login = peer.login.as_ref().and_then(|login| {
        let role = policy.logins.get(login)?;
        Some((*role, format!("login `{login}`")))
    });
    let tags = peer.tags.iter().filter_map(|tag| {
        let role = policy.tags.get(tag)?;
        Some((*role, format!("tag `{tag}`")))
    });
    let capability = policy.capability.as_ref().and_then(|name| {
        let values = peer.capabilities.get(name.as_str())?;
        let role = values.iter().filter_map(highest).max()?;
        Some((role, format!("capability `{name}`")))
    });
    let highest = tags
        .chain(login)
        .chain(capability)
        .max_by_key(|(role, _)| *role);
    match highest {
        Some((role, source)) => Ok(Some(Grant { role, source })),
        None => Err(missing(policy, peer)),
    }
}

/// The highest role that a capability's value names: `{"roles": ["operator"]}`. Words of tomorrow
/// and other shapes give nothing.
fn highest(value: &Value) -> Option<Role> {
    let roles = value.get("roles")?.as_array()?.iter();
    roles.filter_map(|role| role.as_str()?.parse().ok()).max()
}

fn missing(policy: &TailnetPolicy, peer: &Peer) -> String {
    let device = peer.spoken();
    match &policy.capability {
        Some(name) if peer.capabilities.contains_key(name.as_str()) => format!(
            "the tailnet grants `{name}` to device {device}, but no value of it names a role\nhint: write `\"{name}\": \
             [{{\"roles\": [\"operator\"]}}]` in the tailnet's policy file"
        ),
        Some(name) => format!(
            "the tailnet grants device {device} nothing on this host\nhint: write a grant from it to this host with \
             `\"app\": {{\"{name}\": [{{\"roles\": [\"operator\"]}}]}}` in the tailnet's policy file"
        ),
        None => format!(
            "agent.toml of this host gives device {device} no role\nhint: root names its login or tag in `[tailnet]` there"
        ),
    }
}

/// Whether the certificate of `operator` may come from `peer`. `Err` says why not.
pub fn bound(policy: &TailnetPolicy, operator: &OperatorName, peer: &Peer) -> Result<(), String> {
    let is_of = |holder: &Holder| match holder {
        Holder::Login(login) => peer.login.as_ref() == Some(login),
        Holder::Device(id) => peer.node_id == *id,
    };
    if let Some(holders) = policy.bind.get(operator) {
        if holders.iter().any(is_of) {
            return Ok(());
        }
        return Err(format!(
            "the certificate of `{operator}` is bound to other devices than {}\nhint: root changes `bind` in `[tailnet]` of \
             this host's agent.toml",
            peer.spoken()
        ));
    }
    let owner = policy
        .bind
        .iter()
        .find(|(_, holders)| holders.iter().any(is_of));
    match owner {
        Some((owner, _)) => Err(format!(
            "device {} is bound to operator `{owner}`, and the certificate is of `{operator}`\nhint: root changes `bind` in \
             `[tailnet]` of this host's agent.toml",
            peer.spoken()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use omni_scale_noise::{Dice, damaged_json, hold_against};
    use serde_json::json;
    use std::path::Path;

    const CAPABILITY: &str = "example.com/cap/omni-scale";

    fn policy(text: &str) -> TailnetPolicy {
        parse(&format!("[tailnet]\n{text}"), Path::new("agent.toml"))
            .unwrap()
            .tailnet
    }

    fn person(login: &str) -> Peer {
        Peer {
            node_id: "n1CNTRL".to_owned(),
            dns_name: "desk.tail.test".to_owned(),
            login: Some(login.to_owned()),
            ..Peer::default()
        }
    }

    fn with_values(values: Value) -> Peer {
        let Value::Array(values) = values else {
            panic!("a list")
        };
        Peer {
            capabilities: [(CAPABILITY.to_owned(), values)].into(),
            ..person("ada@example.net")
        }
    }

    fn role(policy: &TailnetPolicy, peer: &Peer) -> Option<Role> {
        granted(policy, peer).ok().flatten().map(|grant| grant.role)
    }

    #[test]
    fn without_a_policy_every_device_passes() {
        let peer = person("ada@example.net");
        assert_eq!(granted(&TailnetPolicy::default(), &peer), Ok(None));
        assert_eq!(
            granted(&policy("bind = { ada = ['n1CNTRL'] }"), &peer),
            Ok(None)
        );
    }

    #[test]
    fn values_of_a_capability_add_up_and_the_highest_counts() {
        let policy = policy(&format!("capability = '{CAPABILITY}'"));
        for (values, expected) in [
            (json!([{"roles": ["viewer"]}]), Some(Role::Viewer)),
            (
                json!([{"roles": ["viewer"]}, {"roles": ["admin", "operator"]}]),
                Some(Role::Admin),
            ),
            (
                json!([{"roles": ["root", "viewer"]}, 7, null]),
                Some(Role::Viewer),
            ),
            (json!([{"roles": "admin"}]), None),
            (json!([{"role": ["admin"]}]), None),
            (json!([["admin"], "admin"]), None),
            (json!([]), None),
        ] {
            assert_eq!(
                role(&policy, &with_values(values.clone())),
                expected,
                "{values}"
            );
        }
        let other = Peer {
            capabilities: [(
                "other.com/cap/omni-scale".to_owned(),
                vec![json!({"roles": ["admin"]})],
            )]
            .into(),
            ..person("ada@example.net")
        };
        let told = granted(&policy, &other).unwrap_err();
        assert!(
            told.contains("grants device `desk` (ada@example.net, n1CNTRL) nothing"),
            "{told}"
        );
        assert!(
            told.contains(CAPABILITY) && told.contains("policy file"),
            "{told}"
        );
        let told = granted(&policy, &with_values(json!([{}]))).unwrap_err();
        assert!(told.contains("no value of it names a role"), "{told}");
    }

    #[test]
    fn logins_and_tags_give_roles_to_their_own() {
        let policy =
            policy("logins = { 'ada@example.net' = 'admin' }\ntags = { 'tag:ci' = 'viewer' }");
        assert_eq!(role(&policy, &person("ada@example.net")), Some(Role::Admin));
        assert_eq!(role(&policy, &person("Ada@example.net")), None);
        let tagged = Peer {
            login: None,
            tags: vec!["tag:other".to_owned(), "tag:ci".to_owned()],
            ..person("")
        };
        assert_eq!(role(&policy, &tagged), Some(Role::Viewer));
        let told = granted(&policy, &person("bob@example.net")).unwrap_err();
        assert!(told.contains("agent.toml"), "{told}");
    }

    #[test]
    fn a_certificate_comes_from_its_own_device_only() {
        let policy = policy("bind = { ada = ['n1CNTRL'], bob = ['bob@example.net', 'n2CNTRL'] }");
        let [ada, bob, eve] =
            ["ada", "bob", "eve"].map(|name| name.parse::<OperatorName>().unwrap());
        let of_ada = person("ada@example.net");
        let of_bob = Peer {
            node_id: "n9CNTRL".to_owned(),
            ..person("bob@example.net")
        };
        let of_nobody = Peer {
            node_id: "n8CNTRL".to_owned(),
            ..person("eve@example.net")
        };
        assert_eq!(bound(&policy, &ada, &of_ada), Ok(()));
        assert_eq!(bound(&policy, &bob, &of_bob), Ok(()));
        assert_eq!(bound(&policy, &eve, &of_nobody), Ok(()));
        for (operator, device) in [
            (&ada, &of_bob),
            (&ada, &of_nobody),
            (&eve, &of_ada),
            (&bob, &of_ada),
        ] {
            assert!(
                bound(&policy, operator, device).is_err(),
                "{operator} {device:?}"
            );
        }
    }

    #[test]
    fn noise_in_values_gives_no_role_that_they_do_not_name() {
        let policy = policy(&format!("capability = '{CAPABILITY}'"));
        let sample = json!([{"roles": ["viewer", "operator"]}]);
        let make = |dice: &mut Dice| damaged_json(dice, &sample);
        hold_against("values of capabilities", make, |values| {
            if let Value::Array(list) = values
                && let Some(role) = role(&policy, &with_values(values.clone()))
            {
                assert!(json!(list).to_string().contains(role.as_str()));
            }
        });
    }
}
