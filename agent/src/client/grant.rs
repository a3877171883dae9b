//! What has to be written into the tailnet policy so that this host may look after its client.

use crate::tailnet::Tailnet;

/// What a tsidp's grants are called in the policy (tailscale.com/tailcfg, `PeerCapabilityTsIDP`).
pub(super) const CAPABILITY: &str = "tailscale.com/cap/tsidp";

/// The host name of an issuer's address.
pub(super) fn host_of(issuer: &str) -> &str {
    let rest = issuer.strip_prefix("https://").unwrap_or(issuer);
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    &rest[..end]
}

/// What to do so that `issuer` lets this node register, list and delete clients: a grant for this
/// node alone. The tailnet's policy knows addresses and tags, so the issuer's stands there in words.
pub(super) async fn advice(tailnet: &dyn Tailnet, issuer: &str) -> String {
    let host = host_of(issuer);
    let address = tailnet.status().await.ok().and_then(|status| status.ipv4);
    let (source, asides) = match address {
        Some(address) => (address.to_string(), String::new()),
        None => (
            "ADDRESS OF THIS HOST".to_owned(),
            " (`tailscale ip -4` on this host shows its address)".to_owned(),
        ),
    };
    format!(
        "add this to `grants` of the tailnet policy, with the tailnet address of the node `{host}` in `dst`{asides}, and apply again: \
         {{\"src\": [\"{source}\"], \"dst\": [\"ADDRESS OF {host}\"], \"app\": {{\"{CAPABILITY}\": [{{\"allow_dcr\": true, \"allow_admin_ui\": true}}]}}}}"
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::tailnet::FakeTailnet;

    #[tokio::test]
    async fn the_grant_is_for_this_node_alone() {
        let tailnet = FakeTailnet::running("omni.tail.test", Ipv4Addr::new(100, 64, 0, 7));
        let advice = self::advice(&tailnet, "https://tsidp.tail.test:8443").await;
        let grant = advice.split_once(": ").unwrap().1;
        let grant: serde_json::Value = serde_json::from_str(grant).unwrap();
        assert_eq!(grant["src"], serde_json::json!(["100.64.0.7"]));
        assert_eq!(
            grant["dst"],
            serde_json::json!(["ADDRESS OF tsidp.tail.test"])
        );
        assert_eq!(
            grant["app"][CAPABILITY],
            serde_json::json!([{"allow_dcr": true, "allow_admin_ui": true}])
        );
    }

    #[tokio::test]
    async fn a_node_that_does_not_know_its_address_says_where_it_stands() {
        let tailnet = FakeTailnet::running("omni.tail.test", Ipv4Addr::new(100, 64, 0, 7));
        tailnet.set(None);
        let advice = self::advice(&tailnet, "https://tsidp.tail.test").await;
        assert!(advice.contains("tailscale ip -4"), "{advice}");
        assert!(!advice.contains('*'), "{advice}");
    }

    #[test]
    fn the_host_of_an_issuer_has_no_port_and_no_path() {
        for issuer in [
            "https://tsidp.tail.test",
            "https://tsidp.tail.test:8443",
            "https://tsidp.tail.test/x",
            "tsidp.tail.test",
        ] {
            assert_eq!(host_of(issuer), "tsidp.tail.test");
        }
        assert_eq!(host_of(""), "");
    }
}
