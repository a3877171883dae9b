//! The states of nodes that the lab's control server can bring about: each is told by what it is, and
//! none of the small ones turns a healthy host red.

use super::hosts::Lab;
use super::site::{apply, becomes_green, must_be_rolled_out};
use super::tailnet::{Undo, agent_says, becomes, control};

/// Waits until `status` shows this of a host's own node.
fn status_shows(lab: &Lab, text: &str, seconds: u64) {
    let script = format!("omni-scale status | grep -qF \"{text}\"");
    becomes(lab, "op", &script, seconds);
}

#[test]
fn an_expired_key_is_told_on_the_host_and_of_tsidps_own_node() {
    let lab = Lab::take();
    let forever = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/omni/expire?after=never", "");
        control(lab, "POST", "/nodes/tsidp/expire?after=never", "");
    });
    control(&lab, "POST", "/nodes/omni/expire?after=-1h", "");
    agent_says(&lab, "omni", "expired key", 60);
    control(&lab, "POST", "/nodes/omni/expire?after=never", "");
    control(&lab, "POST", "/nodes/tsidp/expire?after=300h", "");
    status_shows(&lab, "key that expires in 12 days", 60);
    control(&lab, "POST", "/nodes/tsidp/expire?after=-1h", "");
    status_shows(&lab, "has an expired key", 60);
    drop(forever);
    becomes_green(&lab, 90);
}

#[test]
fn a_node_of_tsidp_that_lost_its_name_is_told() {
    let lab = Lab::take();
    let renamed = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/tsidp-1/rename?to=tsidp", "");
    });
    control(&lab, "POST", "/nodes/tsidp/rename?to=tsidp-1", "");
    status_shows(&lab, "another device has the name", 60);
    drop(renamed);
    becomes_green(&lab, 90);
}

#[test]
fn a_host_without_the_tailnets_names_is_degraded_and_not_failed() {
    let lab = Lab::take();
    let names = Undo::with(&lab, |lab| {
        lab.on("idp", &["tailscale", "set", "--accept-dns=true"]);
    });
    lab.on("idp", &["tailscale", "set", "--accept-dns=false"])
        .must("do without names");
    status_shows(&lab, "does not take its names from the tailnet", 60);
    lab.on("op", &["omni-scale", "status"])
        .ends(0, &["DNS not ready"]);
    drop(names);
    becomes_green(&lab, 60);
}

#[test]
fn a_host_that_reaches_no_relay_says_so() {
    let lab = Lab::take();
    // Everything of the lab's internet but the control server, and what is asked over UDP.
    let rules = [
        "OUTPUT --destination 10.77.0.2 --protocol tcp ! --dport 9911 --jump REJECT",
        "OUTPUT --destination 10.77.0.2 --protocol udp --jump REJECT",
    ];
    let open = Undo::with(&lab, move |lab| {
        for rule in rules {
            lab.script("idp", &format!("iptables --delete {rule}"));
        }
        lab.on("idp", &["tailscale", "netcheck"]);
    });
    for rule in rules {
        lab.script("idp", &format!("iptables --insert {rule}"))
            .must("shut the relay off");
    }
    lab.script("idp", "systemctl restart tailscaled")
        .must("restart tailscaled");
    agent_says(&lab, "idp", "relay", 120);
    drop(open);
    lab.script("idp", "systemctl restart tailscaled")
        .must("restart tailscaled");
    becomes_green(&lab, 120);
}

#[test]
fn a_node_without_a_network_interface_says_so() {
    let lab = Lab::take();
    let kernel = Undo::with(&lab, |lab| {
        lab.script(
            "idp",
            "sed -i 's/--tun=userspace-networking//' /etc/default/tailscaled; systemctl restart tailscaled",
        );
    });
    lab.script(
        "idp",
        "sed -i 's/^FLAGS=\"/&--tun=userspace-networking/' /etc/default/tailscaled && \
         grep -q userspace /etc/default/tailscaled && systemctl restart tailscaled",
    )
    .must("take the interface away");
    agent_says(&lab, "idp", "no network interface", 60);
    drop(kernel);
    becomes_green(&lab, 90);
}

#[test]
fn an_agent_that_is_there_before_tailscaled_serves_once_it_comes() {
    let lab = Lab::take();
    // The agent's unit wants tailscaled, and would start it.
    let unmasked = Undo::with(&lab, |lab| {
        lab.script(
            "omni",
            "systemctl unmask --runtime tailscaled; systemctl start tailscaled",
        );
    });
    lab.script(
        "omni",
        "systemctl mask --runtime --now tailscaled && systemctl restart omni-scale-agent",
    )
    .must("start the agent alone");
    agent_says(&lab, "omni", "tailnet unknown", 30);
    drop(unmasked);
    becomes_green(&lab, 120);
    must_be_rolled_out(&lab);
}

/// Logged out and in again, the node is another one, with another address.
#[test]
fn a_node_that_is_logged_in_anew_at_another_address_is_followed() {
    let lab = Lab::take();
    let process = "systemctl show -p MainPID --value omni-scale-agent";
    let before = lab.script("omni", process).must("find the agent");
    let ask = "tailscale status --json | jq -r '.Self.ID, .TailscaleIPs[0]'";
    let node = lab.script("omni", ask).must("ask for the node");
    let (id, address) = node.trim().split_once('\n').expect("two lines");
    lab.on("omni", &["tailscale", "logout"]).must("log out");
    agent_says(&lab, "omni", "logged out", 30);
    // As an administrator removes the old device, of which this control server knows no way.
    let path = format!("/nodes/{id}/rename?to=gone");
    control(&lab, "POST", &path, "");
    let log_in = |key: &str, seconds: u32| {
        let up = format!(
            "tailscale up --login-server=http://10.77.0.2:9911 --hostname=omni --timeout={seconds}s --auth-key={key}"
        );
        lab.script("omni", &up)
    };
    // A key that control does not take is told with control's words, by their code.
    let any_key = Undo::with(&lab, |lab| {
        control(lab, "POST", "/tailnet/auth-key?key=", "");
    });
    control(&lab, "POST", "/tailnet/auth-key?key=tskey-auth-good", "");
    let refused = log_in("tskey-auth-bad", 10);
    assert_ne!(refused.code, 0, "{refused}");
    agent_says(&lab, "omni", "is logged out: ", 30);
    // tailscaled goes on with the bad key by itself: it is not taken meanwhile either.
    log_in("tskey-auth-good", 60).must("log in");
    drop(any_key);
    let now = lab.on("omni", &["tailscale", "ip", "-4"]);
    let now = now.must("ask for the address").trim().to_owned();
    assert_ne!(now, address);
    becomes(&lab, "op", "omni-scale whoami omni", 60);
    let listens = format!("ss -Hltn | grep -q {now}:7443");
    becomes(&lab, "omni", &listens, 30);
    // Without IPv6 tailscaled cannot take its old address off, and warns of that until then.
    lab.script("omni", "systemctl restart tailscaled")
        .must("restart tailscaled");
    becomes_green(&lab, 90);
    let after = lab.script("omni", process).must("find the agent");
    assert_eq!(after, before);
    must_be_rolled_out(&lab);
}

/// A volume that is gone, while the device that it was is still in the tailnet.
#[test]
fn a_lost_state_of_the_sidecar_is_found_before_it_takes_another_name() {
    let lab = Lab::take();
    let stop =
        "docker ps -aq --filter label=com.docker.compose.project=omni | xargs docker stop -t 1";
    lab.script("omni", stop).must("stop the stack");
    let find = "id=$(docker ps -aq --filter label=com.docker.compose.service=omni-tailscale); \
        docker inspect -f '{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{.Source}}{{end}}{{end}}' $id";
    let found = lab.script("omni", find).must("find the volume");
    let (volume, source) = found.trim().split_once(' ').expect("one volume");
    let labels =
        "docker volume inspect -f '{{range $k, $v := .Labels}}--label {{$k}}={{$v}} {{end}}'";
    let labels = lab
        .script("omni", &format!("{labels} {volume}"))
        .must("read its labels");
    let labels = labels.trim();
    lab.script(
        "omni",
        &format!(
            "cp -a {source} /root/kept && \
             docker rm $(docker ps -aq --filter label=com.docker.compose.project=omni) && \
             docker volume rm {volume}"
        ),
    )
    .must("lose the volume");
    apply(&lab).ends(
        3,
        &[
            "would become sidero-1.tail.test",
            "restore the state volume",
        ],
    );
    lab.script(
        "omni",
        &format!(
            "docker volume create {labels} {volume} && cp -a /root/kept/. {source}/ && rm -r /root/kept"
        ),
    )
    .must("restore the volume");
    apply(&lab).ends(0, &[]);
    must_be_rolled_out(&lab);
}
