//! The tailnet says who is calling: what it does not let in is refused, and what it does to a
//! host's own node is said.

use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::hosts::{Lab, Ran};
use super::site::{becomes_green, must_be_rolled_out, variant};

const CAPABILITY: &str = "tail.test/cap/omni-scale";

/// Asks the lab's control server, from `op`.
pub(crate) fn control(lab: &Lab, method: &str, path: &str, body: &str) {
    let url = format!("http://10.77.0.2:9900{path}");
    lab.on("op", &["curl", "-fsS", "-X", method, "--data", body, &url])
        .must("change the tailnet");
}

/// A change of the tailnet or of a host's routes that ends with the test, whatever becomes of it.
pub(crate) struct Undo<'a> {
    lab: &'a Lab,
    undo: Box<dyn Fn(&Lab) + 'a>,
}

impl<'a> Undo<'a> {
    pub(crate) fn with(lab: &'a Lab, undo: impl Fn(&Lab) + 'a) -> Self {
        let undo = Box::new(undo);
        Self { lab, undo }
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let undone = panic::catch_unwind(AssertUnwindSafe(|| (self.undo)(self.lab)));
        // A second panic would end all tests; what follows a failed test is put right by the lab.
        if let Err(cause) = undone
            && !thread::panicking()
        {
            panic::resume_unwind(cause);
        }
    }
}

fn grant(lab: &Lab, role: &str) {
    let body = format!(r#"{{"{CAPABILITY}": [{{"roles": ["{role}"]}}]}}"#);
    control(lab, "PUT", "/tailnet/capabilities", &body);
}

/// The tailnet grants nothing until this is dropped.
fn ungranted(lab: &Lab) -> Undo<'_> {
    let undo = Undo::with(lab, |lab| {
        grant(lab, "admin");
        // The next test must not meet the answer of before.
        becomes(
            lab,
            "op",
            "omni-scale whoami omni && omni-scale whoami idp",
            30,
        );
    });
    control(lab, "PUT", "/tailnet/capabilities", "{}");
    undo
}

/// Waits until a script succeeds.
pub(crate) fn becomes(lab: &Lab, host: &str, script: &str, seconds: u64) {
    let wait = format!("timeout {seconds} bash -c 'until {script}; do sleep 0.3; done' >&2");
    lab.script(host, &wait).must(&format!("see `{script}`"));
}

/// Waits until the agent says this in the line that `systemctl status` shows.
pub(crate) fn agent_says(lab: &Lab, host: &str, text: &str, seconds: u64) {
    let script = format!("systemctl show -p StatusText omni-scale-agent | grep -qF \"{text}\"");
    becomes(lab, host, &script, seconds);
}

fn whoami(lab: &Lab, host: &str) -> Ran {
    lab.on("op", &["omni-scale", "whoami", host])
}

/// The agent's process: a new one would be a restart.
fn process(lab: &Lab, host: &str) -> String {
    let show = "systemctl show -p MainPID --value omni-scale-agent";
    lab.script(host, show).must("find the agent's process")
}

fn address(lab: &Lab, host: &str) -> String {
    let address = lab.on(host, &["tailscale", "ip", "-4"]);
    address.must("ask for the address").trim().to_owned()
}

#[test]
fn a_host_says_whom_it_takes_the_operator_for() {
    let lab = Lab::take();
    whoami(&lab, "omni").ends(
        0,
        &[
            "operator     alice",
            "op.tail.test",
            "role admin by capability",
        ],
    );
}

#[test]
fn a_host_that_the_tailnet_does_not_have_is_said_at_once() {
    let lab = Lab::take();
    let edit = "/^  idp:/,/roles/ s/roles: .*/&\\n    dns_name: nobody.tail.test/";
    variant(&lab, "absent.yaml", edit);
    let asked = lab.script(
        "op",
        "timeout 10 omni-scale --deployment absent.yaml whoami idp",
    );
    let told = "no device of this tailnet is called `nobody.tail.test`";
    assert!(asked.code != 0 && asked.output.contains(told), "{asked}");
}

#[test]
fn without_the_capability_a_certificate_is_of_no_use() {
    let lab = Lab::take();
    let _granted = ungranted(&lab);
    becomes(&lab, "op", "! omni-scale whoami omni", 30);
    whoami(&lab, "omni").ends(1, &["tailnet", "policy file", CAPABILITY]);
    lab.on("op", &["omni-scale", "restart", "proxmox-provider"])
        .ends(1, &["policy file"]);
}

#[test]
fn the_lower_of_both_roles_holds() {
    let lab = Lab::take();
    let _granted = Undo::with(&lab, |lab| {
        grant(lab, "admin");
        becomes(
            lab,
            "op",
            "omni-scale whoami omni | grep -q \"role admin by\"",
            30,
        );
    });
    grant(&lab, "viewer");
    becomes(
        &lab,
        "op",
        "omni-scale whoami omni | grep -q \"limited by the tailnet\"",
        30,
    );
    lab.on("op", &["omni-scale", "status"])
        .ends(0, &["healthy"]);
    lab.on("op", &["omni-scale", "restart", "proxmox-provider"])
        .ends(
            1,
            &["has the role viewer by capability", "this needs operator"],
        );
}

#[test]
fn a_capability_that_is_taken_back_ends_open_streams_and_refuses_the_next_change() {
    let lab = Lab::take();
    let mut log = lab.start("op", &["omni-scale", "logs", "agent", "omni", "-f"]);
    log.until("a line", 20, |_| Some(()));
    let _granted = ungranted(&lab);
    becomes(&lab, "op", "! omni-scale restart proxmox-provider", 20);
    lab.on("op", &["omni-scale", "restart", "proxmox-provider"])
        .ends(1, &["policy file"]);
    let (code, said) = log.end(60);
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("policy file"), "{said}");
}

#[test]
fn the_capability_without_a_certificate_is_of_no_use() {
    let lab = Lab::take();
    let omni = address(&lab, "omni");
    let url = format!("https://{omni}:7443/");
    let since = lab
        .on("omni", &["date", "+%s.%6N"])
        .must("ask for the time");
    let ran = lab.on("op", &["curl", "-sk", "--http2", "--max-time", "10", &url]);
    assert_ne!(ran.code, 0, "{ran}");
    let said = format!(
        "journalctl -u omni-scale-agent --since @{} | grep refused | grep -q \"sent no certificate\"",
        since.trim()
    );
    becomes(&lab, "omni", &said, 30);
}

/// What is sent from `op` to `omni`'s tailnet address goes over a cable between the two, past the
/// tailnet, with this source; and the answers are let in though they come from there.
fn past_the_tailnet<'a>(lab: &'a Lab, omni: &str, source: &str) -> Undo<'a> {
    let rule = format!("to {omni} lookup main pref 100");
    let answers = format!("INPUT --source {omni} --jump ACCEPT");
    let add = format!(
        "ip address add 192.0.2.1/30 dev cable && ip link set cable up && ip rule add {rule} && \
         ip route add {omni}/32 via 192.0.2.2 src {source} && iptables --insert {answers}"
    );
    // The cable takes its addresses and routes along.
    let remove = format!("iptables --delete {answers}; ip rule del {rule}; ip link del cable");
    let undo = Undo::with(lab, move |lab| {
        lab.script("root@op", &remove);
    });
    lab.cable("op", "omni", "cable");
    let other_end = "ip address add 192.0.2.2/30 dev cable && ip link set cable up";
    lab.script("omni", other_end).must("plug the cable in");
    lab.script("root@op", &add).must("route past the tailnet");
    undo
}

#[test]
fn a_good_certificate_from_off_the_tailnet_is_refused() {
    let lab = Lab::take();
    let omni = address(&lab, "omni");
    let _route = past_the_tailnet(&lab, &omni, "192.0.2.1");
    whoami(&lab, "omni").ends(1, &["192.0.2.1 is no device of this host's tailnet"]);
}

#[test]
fn a_forged_source_address_reaches_nothing() {
    let lab = Lab::take();
    let omni = address(&lab, "omni");
    let own = address(&lab, "op");
    let _route = past_the_tailnet(&lab, &omni, &own);
    let url = format!("https://{omni}:7443/");
    let ran = lab.on("op", &["curl", "-sk", "--connect-timeout", "5", &url]);
    assert_eq!(ran.code, 28, "{ran}");
}

#[test]
fn the_agent_outlives_restarts_and_the_death_of_tailscaled() {
    let lab = Lab::take();
    let before = process(&lab, "omni");
    for script in [
        "systemctl restart tailscaled",
        "systemctl kill -s KILL tailscaled",
    ] {
        lab.script("omni", script).must("disturb tailscaled");
        becomes(&lab, "op", "omni-scale whoami omni", 60);
    }
    lab.script("omni", "systemctl stop tailscaled")
        .must("stop tailscaled");
    agent_says(&lab, "omni", "tailnet unknown", 60);
    lab.script("omni", "systemctl start tailscaled")
        .must("start tailscaled");
    becomes_green(&lab, 90);
    assert_eq!(process(&lab, "omni"), before);
    let count = "ss -Htn state established sport = :7443 | wc -l";
    let open = lab.script("omni", count).must("count the connections");
    assert!(open.trim().parse::<u32>().unwrap() <= 4, "{open}");
    must_be_rolled_out(&lab);
}

#[test]
fn a_node_that_is_switched_off_says_so_and_comes_back() {
    let lab = Lab::take();
    let before = process(&lab, "omni");
    lab.on("omni", &["tailscale", "down"]).must("go off");
    agent_says(&lab, "omni", "tailnet down: the node is stopped", 60);
    lab.on("omni", &["tailscale", "up"]).must("come back");
    becomes_green(&lab, 90);
    assert_eq!(process(&lab, "omni"), before);
}

#[test]
fn a_suffixed_name_is_told_on_the_host() {
    let lab = Lab::take();
    let _renamed = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/omni-1/rename?to=omni", "");
        becomes(lab, "op", "omni-scale whoami omni", 60);
    });
    control(&lab, "POST", "/nodes/omni/rename?to=omni-1", "");
    agent_says(&lab, "omni", "another device has the name", 60);
}

#[test]
fn a_key_that_ends_soon_is_told_and_is_no_failure() {
    let lab = Lab::take();
    let expiring = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/omni/expire?after=never", "");
    });
    control(&lab, "POST", "/nodes/omni/expire?after=300h", "");
    becomes(
        &lab,
        "op",
        "omni-scale status | grep -q \"key that expires in 12 days\"",
        60,
    );
    lab.on("op", &["omni-scale", "status"])
        .ends(0, &["key expires soon"]);
    drop(expiring);
    becomes_green(&lab, 60);
}

#[test]
fn a_node_that_needs_approval_says_so_and_comes_back() {
    let lab = Lab::take();
    let approval = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/omni/authorize?on=true", "");
    });
    control(&lab, "POST", "/nodes/omni/authorize?on=false", "");
    agent_says(
        &lab,
        "omni",
        "tailnet down: the node waits for approval",
        60,
    );
    drop(approval);
    becomes_green(&lab, 90);
}
