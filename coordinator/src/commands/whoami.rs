//! `whoami`: whom a host takes us for, by both halves.

use omni_scale_proto::v1::{RoleLimit, WhoAmIResponse};
use serde_json::{Value, json};

use super::Context;
use super::context::known_host;
use crate::arguments::WhoAmIArguments;
use crate::exit::Exit;

/// Runs it.
pub(super) async fn run(context: &Context, arguments: WhoAmIArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    known_host(&deployment, &arguments.host)?;
    let agents = context.agents(&deployment)?;
    let me = agents.who_am_i(&arguments.host).await?;
    if context.output.is_json() {
        context.output.json("whoami", &to_json(&me))?;
        return Ok(Exit::Done);
    }
    for line in lines(arguments.host.as_str(), &me) {
        context.output.data(&line)?;
    }
    Ok(Exit::Done)
}

fn lines(host: &str, me: &WhoAmIResponse) -> Vec<String> {
    let end = crate::output::date(me.certificate_not_after_milliseconds);
    let day = end.split_once('T').map_or(end.as_str(), |(day, _)| day);
    let mut lines = vec![
        format!("`{host}` takes you for"),
        format!("  operator     {}", me.name),
        format!(
            "  certificate  {} until {day}, role {}",
            me.certificate_serial, me.role
        ),
    ];
    if !me.node_id.is_empty() {
        lines.push(format!("  device       {} ({})", me.node_name, me.node_id));
        let whose = if me.tags.is_empty() {
            format!("  login        {}", or_dash(&me.login))
        } else {
            format!("  tags         {}", me.tags.join(", "))
        };
        lines.push(whose);
        lines.push(if me.tailnet_role.is_empty() {
            "  tailnet      any device: the host's agent.toml names no roles".to_owned()
        } else {
            format!(
                "  tailnet      role {} by {}",
                me.tailnet_role, me.tailnet_role_source
            )
        });
    }
    let limit = match me.limited_by() {
        RoleLimit::Certificate => ", limited by the certificate",
        RoleLimit::Tailnet => ", limited by the tailnet",
        RoleLimit::Neither | RoleLimit::Unspecified => "",
    };
    lines.push(format!("  role         {}{limit}", effective(me)));
    lines.push(format!("  from         {}", me.peer_address));
    lines
}

/// An older agent knows the certificate's role only.
fn effective(me: &WhoAmIResponse) -> &str {
    if me.effective_role.is_empty() {
        &me.role
    } else {
        &me.effective_role
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn to_json(me: &WhoAmIResponse) -> Value {
    json!({
        "name": me.name,
        "certificate": {
            "role": me.role,
            "serial": me.certificate_serial,
            "not_after_milliseconds": me.certificate_not_after_milliseconds,
        },
        "device": {
            "name": me.node_name,
            "id": me.node_id,
            "login": me.login,
            "tags": me.tags,
            "role": me.tailnet_role,
            "role_source": me.tailnet_role_source,
        },
        "role": effective(me),
        "limited_by": match me.limited_by() {
            RoleLimit::Certificate => "certificate",
            RoleLimit::Tailnet => "tailnet",
            RoleLimit::Neither => "neither",
            RoleLimit::Unspecified => "unknown",
        },
        "peer_address": me.peer_address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> WhoAmIResponse {
        WhoAmIResponse {
            name: "ada".to_owned(),
            role: "admin".to_owned(),
            certificate_serial: "0a".to_owned(),
            certificate_not_after_milliseconds: 1_798_761_600_000,
            peer_address: "100.64.0.1:40000".to_owned(),
            node_name: "desk.tail.test".to_owned(),
            node_id: "n1".to_owned(),
            login: "ada@example.net".to_owned(),
            tailnet_role: "viewer".to_owned(),
            tailnet_role_source: "tag `tag:desk`".to_owned(),
            effective_role: "viewer".to_owned(),
            limited_by: RoleLimit::Tailnet.into(),
            ..WhoAmIResponse::default()
        }
    }

    #[test]
    fn both_halves_are_said_and_which_of_them_limits() {
        let text = lines("omni-host", &me()).join("\n");
        insta::assert_snapshot!(text, @r"
        `omni-host` takes you for
          operator     ada
          certificate  0a until 2027-01-01, role admin
          device       desk.tail.test (n1)
          login        ada@example.net
          tailnet      role viewer by tag `tag:desk`
          role         viewer, limited by the tailnet
          from         100.64.0.1:40000
        ");
    }

    #[test]
    fn a_tagged_device_and_an_older_agent_are_shown_too() {
        let tagged = WhoAmIResponse {
            login: String::new(),
            tags: vec!["tag:a".to_owned(), "tag:b".to_owned()],
            tailnet_role: String::new(),
            ..me()
        };
        let text = lines("omni-host", &tagged).join("\n");
        assert!(text.contains("tags         tag:a, tag:b"), "{text}");
        assert!(text.contains("any device"), "{text}");
        let older = WhoAmIResponse {
            name: "ada".to_owned(),
            role: "viewer".to_owned(),
            ..WhoAmIResponse::default()
        };
        let text = lines("omni-host", &older).join("\n");
        assert!(
            text.contains("  role         viewer") && !text.contains("device"),
            "{text}"
        );
        assert_eq!(to_json(&older)["role"], "viewer");
    }
}
