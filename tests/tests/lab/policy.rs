//! What root did not allow on a host is refused there, although an admin asks.

use super::hosts::Lab;
use super::site::{containers, must_be_rolled_out};

/// A thing that no `agent.toml` allows, or that this one does not.
struct Case {
    name: &'static str,
    /// Script for sed: of the ejected Compose file.
    compose: &'static str,
    /// What must be said.
    texts: &'static [&'static str],
}

/// The service that everything is asked for: nothing hangs on it.
const PROVIDER: &str = "/^  proxmox-provider:/,/^configs:/";

const CASES: [Case; 7] = [
    Case {
        name: "an image of another repository",
        compose: "s|registry.lab:5000/siderolabs/omni:|other.lab:5000/siderolabs/omni:|",
        texts: &[
            "other.lab:5000/siderolabs/omni",
            "policy.image_repositories",
        ],
    },
    Case {
        name: "a bind mount",
        compose: "s|restart:.*|&\\n    volumes: [\"/srv/data:/data\"]|",
        texts: &["bind mount of `/srv/data`", "policy.bind_roots"],
    },
    Case {
        name: "the Docker socket",
        compose: "s|restart:.*|&\\n    volumes: [\"/var/run/docker.sock:/docker.sock\"]|",
        texts: &[
            "bind mount of `/var/run/docker.sock`",
            "is refused on every host",
        ],
    },
    Case {
        name: "a device",
        compose: "s|restart:.*|&\\n    devices: [/dev/fuse]|",
        texts: &["device `/dev/fuse`", "policy.devices"],
    },
    Case {
        name: "a capability",
        compose: "s|restart:.*|&\\n    cap_add: [SYS_ADMIN]|",
        texts: &["capability `SYS_ADMIN`", "policy.capabilities"],
    },
    Case {
        name: "privileges",
        compose: "s|restart:.*|&\\n    privileged: true|",
        texts: &["field `privileged`", "is refused on every host"],
    },
    Case {
        name: "the host's network",
        compose: "s|network_mode:.*|network_mode: host|",
        texts: &["network mode `host`", "is refused on every host"],
    },
];

#[test]
fn what_root_did_not_allow_is_refused_and_changes_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    let agent_toml = "sha256sum /etc/omni-scale/agent.toml";
    let rules = lab.script("omni", agent_toml).must("look at agent.toml");
    own_stack(&lab);
    for case in &CASES {
        let edit = if case.name.starts_with("an image") {
            case.compose.to_owned()
        } else {
            format!("{PROVIDER} {{ {} }}", case.compose)
        };
        let script = format!(
            "sed '{edit}' ejected/plain.yaml >ejected/compose.yaml && \
             ! cmp -s ejected/plain.yaml ejected/compose.yaml && \
             omni-scale --deployment own.yaml apply --yes"
        );
        let ran = lab.script("op", &script);
        let said = case.texts.iter().all(|text| ran.output.contains(text));
        assert!(ran.code == 3 && said, "{}: {ran}", case.name);
        assert_eq!(containers(&lab), before, "{}: {ran}", case.name);
    }
    assert_eq!(lab.script("omni", agent_toml).data, rules);
    must_be_rolled_out(&lab);
}

/// The operator's deployment with the ejected stack as a stack of their own.
fn own_stack(lab: &Lab) {
    let script = r"
        rm -rf ejected && mkdir ejected
        omni-scale eject -o ejected/compose.yaml && cp ejected/compose.yaml ejected/plain.yaml
        awk '/^omni:/ { exit } { print }' deployment.yaml >own.yaml
        cat >>own.yaml <<'EOF'
omni:
  host: omni
  name: sidero
  stack:
    file: ejected/compose.yaml
    sidecar: omni-tailscale
    omni: omni
    provider: proxmox-provider
EOF
        omni-scale --deployment own.yaml plan
    ";
    lab.script("op", script)
        .must("plan with a stack of one's own");
}

#[test]
fn a_program_whose_sum_root_did_not_list_does_not_run() {
    let lab = Lab::take();
    let process = "systemctl show --property MainPID tsidp";
    let before = lab.script("idp", process).must("ask for tsidp's process");
    let other = "0123456789abcdef".repeat(4);
    let script = format!(
        "sed 's/sha256: .*/sha256: \"{other}\"/' deployment.yaml >other.yaml && \
         omni-scale --deployment other.yaml apply --yes"
    );
    let applied = lab.script("op", &script);
    let uploaded = lab.script("op", "omni-scale artifact upload idp deployment.yaml");
    let abort = lab.on("op", &["omni-scale", "abort"]);
    assert!(applied.code != 0 && abort.code == 0, "{applied}\n{abort}");
    for (ran, sum) in [(&applied, other.as_str()), (&uploaded, "")] {
        let texts = ["`artifact_sha256` in agent.toml does not list", sum];
        let said = texts.iter().all(|text| ran.output.contains(text));
        assert!(ran.code != 0 && said, "{ran}");
    }
    assert_eq!(lab.script("idp", process).data, before);
    must_be_rolled_out(&lab);
}

#[test]
fn tsidp_and_omni_on_one_machine_are_refused_by_the_plan_and_by_the_agent() {
    let lab = Lab::take();
    let agent_toml = "cat /etc/omni-scale/agent.toml";
    let before = lab.script("idp", agent_toml).must("read agent.toml");
    let setup = "omni-scale-agent setup --role tsidp --role omni --force";
    let refused = lab.script("idp", setup);
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.output.contains("`tsidp` and `omni`"), "{refused}");
    assert_eq!(lab.script("idp", agent_toml).data, before);

    let edit = "sed -e 's/roles: \\[tsidp\\]/roles: [tsidp, omni]/' -e 's/^  host: omni$/  host: idp/' \
                deployment.yaml >one.yaml && omni-scale --deployment one.yaml plan";
    let plan = lab.script("op", edit);
    assert!(matches!(plan.code, 2 | 3), "{plan}");
    assert!(
        plan.output.contains("tsidp") && plan.output.contains("omni"),
        "{plan}"
    );
    must_be_rolled_out(&lab);
}
